import { randomUUID } from "node:crypto";
import * as z from "zod";
import { RequestError } from "../engine/errors.ts";
import { logText } from "../runtime/logText.ts";
import type { CallReply, CallRequest } from "../runtime/protocol.ts";
import type { RuntimeThread } from "../runtimeThread.ts";
import type { Authenticator } from "./auth.ts";
import type { Exchange } from "./exchange.ts";
import { decodeTs, encodeTs } from "./timestamps.ts";

/** Arguments of at most 16 MiB, and some room for the rest of the body. */
const MAX_BODY_BYTES = 17 * 1024 * 1024;
/** Convex's own status for "the function ran and failed". */
const FUNCTION_FAILED = 560;

const callSchema = z.object({
  path: z.string(),
  args: z.union([z.array(z.record(z.string(), z.unknown())), z.record(z.string(), z.unknown())]).optional(),
  format: z.string().optional(),
  componentPath: z.string().nullish(),
  ts: z.string().optional(),
});

export const FUNCTION_ROUTES: Readonly<Record<string, CallRequest["kind"]>> = {
  "/api/query": "query",
  "/api/query_at_ts": "query",
  "/api/mutation": "mutation",
  "/api/action": "action",
  "/api/function": "any",
};

/** Serves the calls of ConvexHttpClient and `convex run`. */
export async function serveFunction(
  exchange: Exchange,
  kind: CallRequest["kind"],
  runtime: RuntimeThread,
  authenticator: Authenticator,
): Promise<void> {
  const caller = authenticator.caller(exchange.header("authorization"));
  const body = await exchange.json(callSchema, MAX_BODY_BYTES);
  if (body.componentPath)
    throw new RequestError(400, "ComponentsUnsupported", "The local Convex deployment has no components.");
  const args = body.args === undefined ? [{}] : Array.isArray(body.args) ? body.args : [body.args];
  const atTs = exchange.url.pathname === "/api/query_at_ts" ? body.ts : undefined;
  const request: CallRequest = {
    kind,
    path: body.path,
    args: JSON.stringify(args),
    caller,
    request: exchange.info(),
    // The runtime may be restarted under a running mutation; this lets it be sent again without harm.
    once: { session: `http-${randomUUID()}`, request: 0 },
    ...(atTs === undefined ? {} : { atTs: String(decodeTs(atTs)) }),
  };
  const reply = await runtime.request("call", request);
  const headers: Record<string, string> = {};
  if (caller.admin && reply.metrics !== null) headers["x-local-metrics"] = JSON.stringify(reply.metrics);
  exchange.send(reply.ok ? 200 : FUNCTION_FAILED, replyText(reply), headers);
}

/** The response body; the function's result is already JSON and is passed on as it is. */
function replyText(reply: CallReply): string {
  const logLines = JSON.stringify(reply.logs.map(logText));
  if (reply.ok) return `{"status":"success","value":${reply.value},"logLines":${logLines}}`;
  const data = reply.data === null ? "" : `,"errorData":${reply.data}`;
  return `{"status":"error","errorMessage":${JSON.stringify(reply.message)}${data},"logLines":${logLines}}`;
}

/** POST /api/query_ts: the timestamp at which a series of consistent queries will read. */
export async function serveTimestamp(exchange: Exchange, runtime: RuntimeThread): Promise<void> {
  exchange.sendJson({ ts: encodeTs(BigInt(await runtime.request("timestamp", null))) });
}
