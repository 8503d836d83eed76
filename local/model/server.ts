import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { createHash, timingSafeEqual } from "node:crypto";
import { resolve } from "node:path";
import { limitBody } from "../service/limitBody.ts";
import { listenOnLoopback } from "../service/listen.ts";
import type { RunningService } from "../service/process.ts";
import { openStore } from "../service/store.ts";
import { errorBody } from "./completion.ts";
import { completeChat, type CompletionContext, type Latency } from "./completions.ts";
import { controlRoutes } from "./control.ts";
import { createJournal, SCHEMA } from "./journal.ts";
import { createScripts } from "./scripts.ts";

export interface ModelOptions {
  /** Folder of the journal and the scripts. */
  state: string;
  /** 0 (default) takes a free port. */
  port?: number;
  /** The only key that is accepted; any non-empty one when left out. */
  apiKey?: string;
  latency?: Partial<Latency>;
  /** Names that GET /v1/models lists; requests may name any model. */
  models?: readonly string[];
  now?: () => number;
  log?: (line: string) => void;
}

/** Far above any context window; a request beyond it is a mistake. */
const BODY_LIMIT_BYTES = 32 * 1024 * 1024;
const DEFAULT_MODELS = ["local-echo"];

/** Starts an OpenAI-compatible server on loopback that answers from what it was sent. */
export async function startModel(options: ModelOptions): Promise<RunningService> {
  const store = openStore(resolve(options.state), "model.sqlite", SCHEMA);
  const context: CompletionContext = {
    journal: createJournal(store),
    scripts: createScripts(store),
    latency: { firstTokenMs: 0, perChunkMs: 0, ...options.latency },
    now: options.now ?? Date.now,
  };
  const log = options.log ?? ((line: string) => console.error(`model: ${line}`));

  const app = new Hono<{ Bindings: HttpBindings }>();
  const tooLarge = (): Response =>
    Response.json(errorBody(413, "the request is larger than 32 MiB"), { status: 413 });
  app.use("/*", limitBody(BODY_LIMIT_BYTES, tooLarge));
  app.use("/v1/*", async (c, next) => {
    const key = bearer(c.req.header("authorization"));
    if (key === "" || (options.apiKey !== undefined && !sameKey(key, options.apiKey))) {
      return c.json(errorBody(401, "Incorrect API key provided: send Authorization: Bearer <key>."), 401);
    }
    return next();
  });
  app.get("/v1/models", (c) =>
    c.json({
      object: "list",
      data: (options.models ?? DEFAULT_MODELS).map((id) => ({
        id,
        object: "model",
        created: 0,
        owned_by: "local",
      })),
    }),
  );
  app.post("/v1/chat/completions", (c) => completeChat(context, c, bearer(c.req.header("authorization"))));
  app.route("/control", controlRoutes(context));
  app.notFound((c) => c.json(errorBody(404, `Unknown request URL: ${c.req.method} ${c.req.path}.`), 404));
  app.onError((error, c) => {
    log(`a request failed inside of this server: ${error.stack}`);
    return c.json(errorBody(500, "internal error"), 500);
  });

  try {
    const server = await listenOnLoopback(
      (request, bindings) => app.fetch(request, bindings),
      options.port ?? 0,
    );
    return {
      url: server.url,
      close: async () => {
        await server.close();
        store.close();
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
}

function bearer(header: string | undefined): string {
  return /^Bearer\s+(\S+)$/i.exec(header ?? "")?.[1] ?? "";
}

function sameKey(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
