import type { MiddlewareHandler } from "hono";

/**
 * Refuses requests whose body is larger than `limitBytes`, before or while it is read.
 *
 * hono's own limit rebuilds the request from the node adaptor's object, which fails for bodies of unknown length as
 * long as that adaptor does not replace the process's global Request; here such a body is read within the limit first.
 */
export function limitBody(limitBytes: number, tooLarge: () => Response): MiddlewareHandler {
  return async (c, next) => {
    const length = c.req.header("content-length");
    if (length !== undefined) return Number(length) > limitBytes ? tooLarge() : next();
    if (c.req.header("transfer-encoding") === undefined) return next();
    const { raw } = c.req;
    const body = await readWithin(raw.body, limitBytes);
    if (!body) return tooLarge();
    const { url, method, headers, signal } = raw;
    c.req.raw = new Request(url, { method, headers, signal, body });
    return next();
  };
}

async function readWithin(
  body: ReadableStream<Uint8Array> | null,
  limitBytes: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body ?? []) {
    size += part.byteLength;
    if (size > limitBytes) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}
