import { Hono } from "hono";
import * as z from "zod";
import type { CompletionContext } from "./completions.ts";

const scriptSchema = z.object({
  /** Substring of the last user text; empty matches all. */
  match: z.string(),
  /** Directives, one per line. */
  script: z.string().min(1),
  /** Turns; null means every one. */
  times: z.number().int().positive().nullable().default(1),
});

const latencySchema = z.object({
  firstTokenMs: z.number().nonnegative().max(600_000).optional(),
  perChunkMs: z.number().nonnegative().max(60_000).optional(),
});

const listSchema = z.object({
  after: z.coerce.number().int().nonnegative().default(0),
  limit: z.coerce.number().int().positive().max(1_000).default(200),
  contains: z.string().min(1).optional(),
});

/** How the model shall behave, and what it was asked. */
export function controlRoutes(context: CompletionContext): Hono {
  const routes = new Hono();
  // A page of another site must not steer the model.
  routes.use("/*", async (c, next) =>
    c.req.header("origin") === undefined ? next() : c.json({ error: "not for browsers" }, 403),
  );
  routes.onError((error) => {
    if (error instanceof z.ZodError) return Response.json({ error: z.prettifyError(error) }, { status: 400 });
    throw error;
  });

  routes.get("/scripts", (c) => c.json({ scripts: context.scripts.list() }));
  routes.post("/scripts", async (c) => {
    const script = scriptSchema.parse(await c.req.json().catch(() => undefined));
    return c.json({ id: context.scripts.add(script) });
  });
  routes.delete("/scripts", (c) => {
    context.scripts.clear();
    return c.json({ ok: true });
  });

  routes.post("/latency", async (c) => {
    Object.assign(context.latency, latencySchema.parse(await c.req.json().catch(() => undefined)));
    return c.json(context.latency);
  });

  routes.get("/requests", (c) => c.json({ requests: context.journal.list(listSchema.parse(c.req.query())) }));
  routes.get("/requests/:seq{\\d+}", (c) => {
    const messages = context.journal.messages(Number(c.req.param("seq")));
    return messages === undefined ? c.json({ error: "no such request is kept" }, 404) : c.json({ messages });
  });
  return routes;
}
