import { FlyError, invalidArgument } from "../errors.ts";

/** Reads a body of at most `maxBytes`; a longer one is refused before it is held in memory. */
export async function readBounded(request: Request, maxBytes: number): Promise<Buffer> {
  const declared = Number(request.headers.get("content-length") ?? "0");
  if (declared > maxBytes) throw new FlyError(413, `request body is larger than ${maxBytes} bytes`);
  const parts: Uint8Array[] = [];
  let size = 0;
  // A request without a body has none to iterate.
  for await (const part of request.body ?? []) {
    size += part.byteLength;
    if (size > maxBytes) throw new FlyError(413, `request body is larger than ${maxBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** Parsed JSON, or undefined when there is no body. */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  const text = (await readBounded(request, maxBytes)).toString("utf8");
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) throw invalidArgument("body: not valid JSON");
    throw error;
  }
}
