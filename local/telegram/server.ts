import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { EventEmitter } from "node:events";
import { join, resolve } from "node:path";
import { listenOnLoopback } from "../service/listen.ts";
import type { RunningService } from "../service/process.ts";
import { openStore } from "../service/store.ts";
import { registerBot } from "./accounts.ts";
import { botApiRoutes, type CallContext, performCall } from "./botApi.ts";
import { controlRoutes } from "./control/routes.ts";
import type { Core } from "./core.ts";
import { startDelivery } from "./delivery.ts";
import { createFaults } from "./faults.ts";
import { createFloodControl, type FloodLimit } from "./flood.ts";
import { transcriptPage } from "./page.ts";
import { SCHEMA } from "./schema.ts";

export interface TelegramOptions {
  /** Folder of everything that outlives the process. */
  state: string;
  /** 0 (default) takes a free port. */
  port?: number;
  /** Bots to register at the start; more come over POST /control/bots. */
  bots?: readonly { token: string; username: string }[];
  /** Limits on how fast a bot may send; none by default. */
  floodLimits?: readonly FloodLimit[];
  /** Divides the waits of redelivery and the 24 hours an update lives. Default 1. */
  timeScale?: number;
  /** How long a webhook may take to answer. Default 60 s. */
  webhookTimeoutMs?: number;
  now?: () => number;
  /** From 0 to 1. */
  random?: () => number;
  log?: (line: string) => void;
}

const WEBHOOK_TIMEOUT_MS = 60_000;

/** Starts a Bot API server on loopback, with the control API under /control and a page of transcripts at /. */
export async function startTelegram(options: TelegramOptions): Promise<RunningService> {
  const folder = resolve(options.state);
  const store = openStore(folder, "telegram.sqlite", SCHEMA);
  const core: Core = {
    store,
    filesFolder: join(folder, "files"),
    now: options.now ?? Date.now,
    changes: new EventEmitter({ captureRejections: false }).setMaxListeners(0),
    log: options.log ?? ((line) => console.error(`telegram: ${line}`)),
  };
  const stopped = new AbortController();
  const faults = createFaults();
  const webhookTimeoutMs = options.webhookTimeoutMs ?? WEBHOOK_TIMEOUT_MS;
  try {
    for (const bot of options.bots ?? []) registerBot(core, bot);
    const delivery = startDelivery(core, {
      timeScale: options.timeScale ?? 1,
      random: options.random ?? Math.random,
      webhookTimeoutMs,
      perform: async (bot, method, params) => {
        await performCall(context, bot, method, params, stopped.signal);
      },
    });
    const context: CallContext = {
      core,
      delivery,
      flood: createFloodControl(options.floodLimits ?? []),
      polling: new Map(),
    };
    core.changes.on("update", (botId: number) => delivery.wake(botId));

    const app = new Hono<{ Bindings: HttpBindings }>();
    app.use("/control/*", async (c, next) =>
      isOwnOrigin(c.req.raw) ? next() : c.json({ error: "loopback only" }, 403),
    );
    app.route("/control", controlRoutes(core, { faults, webhookTimeoutMs, stopped: stopped.signal }));
    app.get("/", async (c) =>
      isOwnOrigin(c.req.raw) ? transcriptPage(core, c.req.query()) : c.text("loopback only", 403),
    );
    app.route("/", botApiRoutes(context, faults));
    app.notFound((c) => c.json({ ok: false, error_code: 404, description: "Not Found" }, 404));

    const server = await listenOnLoopback(
      (request, bindings) => app.fetch(request, bindings),
      options.port ?? 0,
    );
    return {
      url: server.url,
      close: async () => {
        stopped.abort();
        delivery.close();
        await server.close();
        store.close();
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** A page of another site, or a name that was pointed at this machine, must not steer the people's side. */
function isOwnOrigin(request: Request): boolean {
  const { host, hostname } = new URL(request.url);
  const origin = request.headers.get("origin");
  return (
    (hostname === "127.0.0.1" || hostname === "localhost") && (origin === null || origin === `http://${host}`)
  );
}
