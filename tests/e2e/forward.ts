/** Passes a call on from a proxy to what stands behind it. */
import type { IncomingHttpHeaders } from "node:http";

const CALL_MS = 120_000;
const HOP_HEADERS = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "host",
  "content-length",
  "expect",
]);

/** Headers of a request that belong to the call, not to the connection. */
function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || HOP_HEADERS.has(name) ? [] : [[name, String(value)] as const],
    ),
  );
}

/** Makes a call that came in at another address, and reads the answer to its end. */
export async function forward(
  origin: string,
  incoming: { method?: string | undefined; url?: string | undefined; headers: IncomingHttpHeaders },
  body: Buffer | string,
): Promise<{ status: number; headers: Record<string, string>; body: Buffer }> {
  const answer = await fetch(`${origin}${incoming.url ?? "/"}`, {
    method: incoming.method ?? "GET",
    headers: passedOn(incoming.headers),
    body: body.length > 0 ? new Uint8Array(Buffer.from(body)) : null,
    redirect: "manual",
    signal: AbortSignal.timeout(CALL_MS),
  });
  // fetch has unpacked the body already.
  const unpacked = [...answer.headers].filter(
    ([name]) => !HOP_HEADERS.has(name) && name !== "content-encoding",
  );
  return {
    status: answer.status,
    headers: Object.fromEntries(unpacked),
    body: Buffer.from(await answer.arrayBuffer()),
  };
}
