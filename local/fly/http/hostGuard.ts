import type { MiddlewareHandler } from "hono";
import type { Env } from "./gateway.ts";

const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::\d+)?$/i;

/**
 * Refuses a request that reached the loopback socket under a foreign name: without this, a web page could talk to
 * the emulator through a host name that resolves to 127.0.0.1.
 */
export const hostGuard: MiddlewareHandler<Env> = async (context, next) => {
  const host = context.req.header("host") ?? "";
  if (!LOOPBACK.test(host))
    return context.json({ error: "unexpected Host header: this emulator is local only" }, 421);
  return await next();
};
