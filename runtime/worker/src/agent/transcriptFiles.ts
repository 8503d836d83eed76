/**
 * A transcript as files of a snapshot. It only grows at its end, so it is cut into pieces of a fixed size from its
 * beginning: a turn then uploads the last piece, and no single file outgrows what a deployment stores.
 */
import { TRANSCRIPT_DIR } from "../snapshot/limits.ts";

/** A piece is closed when it has reached this, UTF-8 bytes of JSON. */
const PIECE_BYTES = 256 * 1024;
/** Kept of a transcript, bytes: many times what any model is shown. The oldest pieces go first. */
export const TRANSCRIPT_BYTES_MAX = 16 * 1024 * 1024;
/** The content of a single message beyond this is not kept, bytes. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const DIGITS = 5;

/** Files of a transcript, by path. */
export function transcriptToFiles(messages: readonly unknown[]): Map<string, string> {
  const texts = messages.map(boundedText);
  const pieces: string[][] = [];
  let open: string[] = [];
  let openBytes = 0;
  for (const text of texts) {
    open.push(text);
    openBytes += Buffer.byteLength(text);
    if (openBytes < PIECE_BYTES) continue;
    pieces.push(open);
    open = [];
    openBytes = 0;
  }
  if (open.length > 0 || pieces.length === 0) pieces.push(open);
  const files = pieces.map((piece) => `[${piece.join(",\n")}]`);
  return new Map(
    newest(files).map((text, index) => [
      `${TRANSCRIPT_DIR}/${String(index).padStart(DIGITS, "0")}.json`,
      text,
    ]),
  );
}

/**
 * The messages of a transcript's files, in order; null when there are none of it. A transcript whose beginning was
 * dropped starts with the first words of a person, since a model accepts no tool result without its call.
 *
 * @throws {SyntaxError} when a file is not what was written.
 */
export function transcriptFromFiles(files: ReadonlyMap<string, Buffer>): unknown[] | null {
  const paths = [...files.keys()].filter((path) => path.startsWith(`${TRANSCRIPT_DIR}/`)).sort();
  if (paths.length === 0) return null;
  const messages = paths.flatMap((path) => JSON.parse(String(files.get(path))) as unknown[]);
  const first = messages.findIndex((message) => (message as { role?: unknown }).role === "user");
  return first < 0 ? [] : messages.slice(first);
}

/** Consecutive messages, no batch beyond `bytesMax` unless a single message is. */
export function batchesOf(messages: readonly unknown[], bytesMax: number): unknown[][] {
  const batches: unknown[][] = [];
  let room = 0;
  for (const message of messages) {
    const bytes = Buffer.byteLength(JSON.stringify(message));
    const last = batches.at(-1);
    if (last !== undefined && bytes <= room) {
      last.push(message);
      room -= bytes;
    } else {
      batches.push([message]);
      room = bytesMax - bytes;
    }
  }
  return batches;
}

function boundedText(message: unknown): string {
  const text = JSON.stringify(message);
  if (Buffer.byteLength(text) <= MESSAGE_BYTES_MAX) return text;
  return JSON.stringify({
    ...(message as object),
    content: [{ type: "text", text: "[too large to be kept]" }],
  });
}

function newest(files: readonly string[]): string[] {
  let bytes = 0;
  const first = files.findLastIndex((text) => (bytes += Buffer.byteLength(text)) > TRANSCRIPT_BYTES_MAX);
  return files.slice(first + 1);
}
