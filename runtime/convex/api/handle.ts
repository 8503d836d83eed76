/**
 * The consumer API's one door: authenticate, limit, parse, run, answer. Every refusal has one shape, and nothing that
 * is not ours to tell leaves through it.
 */
import type { HttpRouter } from "convex/server";
import * as z from "zod";
import { internal } from "../_generated/api.js";
import { type ActionCtx, httpAction } from "../_generated/server.js";
import { type ErrorCode, errorKinds, FactoryError, factoryErrorOf } from "../errors.ts";
import { wellFormed } from "../policy/clipText.ts";
import { keyIdOfHeader } from "../policy/serviceKey.ts";
import { readCappedText } from "../replies/cappedBody.ts";
import { sha256Hex } from "../secrets/digest.ts";
import type { Authorization, Principal } from "./authorize.ts";
import { openApiDocument } from "./openapi.ts";
import type { Operation } from "./operation.ts";
import { operations } from "./operations/all.ts";
import { problemsOf } from "./problems.ts";
import { matchOperation } from "./router.ts";

export const API_PREFIX = "/agent-factory/v1";
/** Largest body read: the longest text in the widest encoding, and room for the rest. */
export const BODY_BYTES_MAX = 512 * 1_024;
/** When a conversation is full: about the time of a turn. */
const BUSY_RETRY_AFTER_S = 10;
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

const statusOf: Record<ErrorCode, number> = {
  invalid_argument: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  payload_too_large: 413,
  backlog_full: 429,
  rate_limited: 429,
  not_configured: 503,
  decryption_failed: 500,
  provider_failed: 503,
  provider_unknown: 503,
};

function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers },
  });
}

/** Mounts the API and its document on a deployment's router. */
export function registerApi(http: HttpRouter): void {
  http.route({ path: `${API_PREFIX}/openapi.json`, method: "GET", handler: httpAction(serveDocument) });
  const handler = httpAction(handle);
  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"] as const) {
    http.route({ pathPrefix: `${API_PREFIX}/`, method, handler });
  }
}

async function serveDocument(_ctx: ActionCtx, request: Request): Promise<Response> {
  return json(200, openApiDocument(operations, `${new URL(request.url).origin}${API_PREFIX}`));
}

async function handle(ctx: ActionCtx, request: Request): Promise<Response> {
  const requestId = crypto.randomUUID();
  try {
    return await answer(ctx, request, requestId);
  } catch (error) {
    const refusal = factoryErrorOf(error);
    if (refusal === null) {
      console.error(
        `API request ${requestId} failed: ${error instanceof Error ? error.name : "unknown error"}`,
      );
      return failure(500, "internal", "Internal error", true, requestId);
    }
    const retryable = errorKinds[refusal.code] !== "permanent";
    const status = statusOf[refusal.code];
    // The key's own limit knows when to come back; for the rest a while is said, so that nobody hammers.
    const wait: Record<string, string> = status === 429 ? { "Retry-After": String(BUSY_RETRY_AFTER_S) } : {};
    return failure(status, refusal.code, refusal.message, retryable, requestId, wait);
  }
}

function failure(
  status: number,
  code: string,
  message: string,
  retryable: boolean,
  requestId: string,
  headers: Record<string, string> = {},
): Response {
  return json(status, { error: { code, message, retryable, requestId } }, headers);
}

async function answer(ctx: ActionCtx, request: Request, requestId: string): Promise<Response> {
  const url = new URL(request.url);
  const match = matchOperation(operations, request.method, url.pathname.slice(API_PREFIX.length));
  if (match.kind === "unknown") return failure(404, "not_found", "No such operation", false, requestId);
  if (match.kind === "wrong_method") {
    const allow = match.allowed.join(", ");
    return failure(405, "method_not_allowed", `This path takes ${allow}`, false, requestId, { Allow: allow });
  }
  const { operation } = match;
  const authorization = await authorize(ctx, request, operation);
  switch (authorization.kind) {
    case "unauthorized":
      return failure(401, "unauthorized", "Unknown, expired or revoked service key", false, requestId, {
        "WWW-Authenticate": "Bearer",
      });
    case "forbidden":
      return failure(
        403,
        "forbidden",
        `This service key lacks the scope '${authorization.scope}'`,
        false,
        requestId,
      );
    case "rate_limited":
      return failure(429, "rate_limited", "Too many requests with this key", true, requestId, {
        "Retry-After": String(authorization.retryAfterS),
      });
    case "allowed": {
      const { principal } = authorization;
      if (operation.wholeCompany === true && principal.agentKeys !== null) {
        const message = `This service key is limited to some agents, and ${operation.id} reaches people of any`;
        return failure(403, "forbidden", message, false, requestId);
      }
      return json(operation.status, await run(ctx, request, operation, match.params, url, principal));
    }
  }
}

async function authorize(ctx: ActionCtx, request: Request, operation: Operation): Promise<Authorization> {
  const presented = keyIdOfHeader(request.headers.get("Authorization"));
  if (presented === null) return { kind: "unauthorized" };
  return await ctx.runMutation(internal.api.authorize.authorize, {
    keyId: presented.keyId,
    keyHash: await sha256Hex(presented.key),
    scope: operation.scope,
  });
}

async function run(
  ctx: ActionCtx,
  request: Request,
  operation: Operation,
  params: Record<string, string>,
  url: URL,
  principal: Principal,
): Promise<unknown> {
  const input = {
    params: parse(operation.params, params, "path"),
    query: parse(operation.query, Object.fromEntries(url.searchParams), "query"),
    body: await readBody(request, operation),
    idempotencyKey: operation.idempotent === undefined ? null : idempotencyKey(request),
  };
  return await operation.run(ctx, principal, input);
}

/** @throws invalid_argument with every problem at once, each with its field. */
function parse<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new FactoryError("invalid_argument", problemsOf(result.error, where));
}

async function readBody(request: Request, operation: Operation): Promise<unknown> {
  if (operation.body instanceof z.ZodUndefined) return undefined;
  const text = await readCappedText(request.body, BODY_BYTES_MAX);
  if (text === null) throw new FactoryError("payload_too_large", `The body may have ${BODY_BYTES_MAX} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(text, requireUnicode);
  } catch (error) {
    if (error instanceof SyntaxError) throw new FactoryError("invalid_argument", "body: not valid JSON");
    throw error;
  }
  return parse(operation.body, value, "body");
}

/** Replacing what cannot be stored would make one of two ids; it is for the caller to mend. @throws invalid_argument */
function requireUnicode(_key: string, value: unknown): unknown {
  if (typeof value === "string" && wellFormed(value) !== value) {
    throw new FactoryError(
      "invalid_argument",
      "body: text holds half of a surrogate pair, which is no Unicode",
    );
  }
  return value;
}

function idempotencyKey(request: Request): string | null {
  const key = request.headers.get("Idempotency-Key");
  if (key === null) return null;
  if (!IDEMPOTENCY_KEY.test(key)) {
    throw new FactoryError(
      "invalid_argument",
      "Idempotency-Key must have 1 to 128 printable ASCII characters",
    );
  }
  return key;
}
