import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { limitBody } from "../service/limitBody.ts";
import { authenticate, type Bot } from "./accounts.ts";
import { ApiError, methodNotFound } from "./errors.ts";
import type { FaultRule, Faults } from "./faults.ts";
import { readFileAt, UPLOAD_LIMIT_BYTES } from "./files.ts";
import type { Call } from "./methods/call.ts";
import { findMethod } from "./methods/registry.ts";
import { type Params, readParams } from "./params.ts";

/** What a call needs besides its bot, its parameters and its caller. */
export type CallContext = Omit<Call, "bot" | "params" | "signal">;

/** Form fields and boundaries on top of the largest file. */
const BODY_LIMIT_BYTES = UPLOAD_LIMIT_BYTES + (1 << 20);
const TOO_LARGE = new ApiError(413, "Request Entity Too Large");
const NOT_FOUND = new ApiError(404, "Not Found");

/** `/bot<token>/<method>` and `/file/bot<token>/<path>`. */
export function botApiRoutes(context: CallContext, faults: Faults): Hono<{ Bindings: HttpBindings }> {
  const routes = new Hono<{ Bindings: HttpBindings }>();
  routes.use(
    "/*",
    limitBody(BODY_LIMIT_BYTES, () => errorResponse(TOO_LARGE)),
  );

  routes.get("/file/:bot{bot[^/]+}/:path{.+}", (c) => {
    try {
      const bot = authenticate(context.core, c.req.param("bot").slice("bot".length));
      const bytes = readFileAt(context.core, bot.id, c.req.param("path"));
      return bytes
        ? new Response(bytes, { headers: { "content-type": "application/octet-stream" } })
        : errorResponse(NOT_FOUND);
    } catch (error) {
      return describeFailure(context, error);
    }
  });

  routes.all("/:bot{bot[^/]+}/:method", async (c) => {
    const { socket } = c.env.incoming;
    try {
      const bot = authenticate(context.core, c.req.param("bot").slice("bot".length));
      const method = c.req.param("method");
      const params = await readParams(c.req.raw);
      const act = (): Promise<Response> => answer(context, bot, method, params, c.req.raw.signal);
      const chatId = Number(params.text("chat_id") ?? Number.NaN);
      const fault = faults.hit({
        botId: bot.id,
        username: bot.username,
        method,
        chatId: Number.isNaN(chatId) ? undefined : chatId,
      });
      return fault ? await applyFault(fault, act, socket) : await act();
    } catch (error) {
      return describeFailure(context, error);
    }
  });
  return routes;
}

/** Performs one call and returns its `result`. @throws ApiError */
export async function performCall(
  context: CallContext,
  bot: Bot,
  methodName: string,
  params: Params,
  signal: AbortSignal,
): Promise<unknown> {
  const method = findMethod(methodName);
  if (!method) throw methodNotFound();
  return await method({ ...context, bot, params, signal });
}

async function answer(
  context: CallContext,
  bot: Bot,
  method: string,
  params: Params,
  signal: AbortSignal,
): Promise<Response> {
  try {
    const result = await performCall(context, bot, method, params, signal);
    const described = isDescribed(result) ? result : { result };
    return Response.json({ ok: true, ...described });
  } catch (error) {
    return describeFailure(context, error);
  }
}

function isDescribed(result: unknown): result is { result: true; description: string } {
  return typeof result === "object" && result !== null && "result" in result && "description" in result;
}

async function applyFault(fault: FaultRule, act: () => Promise<Response>, socket: Socket): Promise<Response> {
  switch (fault.kind) {
    case "status":
      return fault.body === undefined
        ? errorResponse(
            new ApiError(fault.status, fault.description ?? describeStatus(fault.status), fault.retryAfter),
          )
        : new Response(fault.body, { status: fault.status });
    case "slow":
      await sleep(fault.ms);
      return act();
    case "hang":
      return holdThenCut(socket, fault.ms);
    case "actThenHang":
      await act();
      return holdThenCut(socket, fault.ms);
    case "reset":
      return cut(socket);
    case "actThenReset":
      await act();
      return cut(socket);
  }
}

/** Waits until the caller gives up, but no longer than `ms`. */
async function holdThenCut(socket: Socket, ms: number): Promise<Response> {
  await Promise.race([once(socket, "close"), sleep(ms, undefined, { ref: false })]);
  return cut(socket);
}

function cut(socket: Socket): Response {
  socket.resetAndDestroy();
  return RESPONSE_ALREADY_SENT;
}

function describeStatus(status: number): string {
  return status === 429 ? "Too Many Requests" : status >= 500 ? "Internal Server Error" : "Bad Request";
}

function describeFailure(context: CallContext, error: unknown): Response {
  if (error instanceof ApiError) return errorResponse(error);
  context.core.log(
    `a call failed inside of this server: ${error instanceof Error ? error.stack : String(error)}`,
  );
  return errorResponse(new ApiError(500, "Internal Server Error"));
}

function errorResponse(error: ApiError): Response {
  const headers: Record<string, string> =
    error.retryAfterSeconds === undefined ? {} : { "retry-after": String(error.retryAfterSeconds) };
  return Response.json(error.toBody(), { status: error.status, headers });
}
