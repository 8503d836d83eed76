/** A secret's value, from stdin or typed unseen: never from an argument, which other processes can read. */
import { usageError } from "../errors.ts";
import type { Io } from "../io.ts";

/** The backend stores less than this; a pipe that never ends is not a secret. */
const BYTES_MAX = 64 * 1024;

/** One newline at the end is the pipe's, not the secret's. */
export async function readSecretValue(question: string, io: Pick<Io, "stdin" | "ask">): Promise<string> {
  const value = io.stdin.isTTY === true ? await io.ask.hidden(question) : await readAll(io.stdin);
  const trimmed = value.replace(/\r?\n$/, "");
  if (trimmed === "") {
    throw usageError(
      "The value is empty.",
      "Pipe it in, for example: npm run factory -- secrets set <ref> < file",
    );
  }
  return trimmed;
}

async function readAll(stdin: Io["stdin"]): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const buffer = Buffer.from(chunk);
    bytes += buffer.byteLength;
    if (bytes > BYTES_MAX) throw usageError(`The value is larger than ${BYTES_MAX} bytes.`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
