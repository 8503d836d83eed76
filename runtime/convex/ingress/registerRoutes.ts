/**
 * Mounts the Telegram webhooks. Ingress only: a request is authenticated, capped, and handed to one transaction.
 */
import type { HttpRouter } from "convex/server";
import { internal } from "../_generated/api.js";
import { type ActionCtx, httpAction } from "../_generated/server.js";
import { factoryErrorOf } from "../errors.ts";
import { readCappedText } from "../replies/cappedBody.ts";
import { DEFAULT_PATH_PREFIX, refsOfPath, WEBHOOK_PATH } from "./paths.ts";
import type { Reception } from "./receive.ts";
import { botOfHeader, readWebhookSecrets } from "./webhookSecret.ts";

export type RegisterRoutesOptions = {
  /** Where the webhooks live on the deployment's site URL. Default `/agent-factory`. */
  pathPrefix?: string;
  /** The three below override the runtime config's `telegram` section when given. */
  resolveAgentKeyFromBinding?: boolean;
  fallbackAgentKey?: string;
  requireBindingForTelegram?: boolean;
};

/** Largest update read. Telegram's longest message with all its entities and quotes stays far below. */
export const UPDATE_BYTES_MAX = 256 * 1_024;

const SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token";

function json(status: number, body: Record<string, unknown>): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store" },
  });
}

/** What Telegram is told: 202 for what was queued, 200 for what a redelivery would not change. */
function answer(reception: Reception): Response {
  switch (reception.kind) {
    case "accepted":
      return json(202, { ok: true });
    case "handled":
      return json(200, { ok: true });
    case "duplicate":
      return json(200, { ok: true, duplicate: true });
    case "ignored":
      return json(200, { ok: true, ignored: true, reason: reception.reason });
    case "pairing":
      return json(200, { ok: true, pairing: reception.pairing });
  }
}

/** Mounts `POST <prefix>/telegram/webhook` for the shared bot and `POST <prefix>/telegram/webhook/<agentKey>` for each dedicated one. */
export function registerRoutes(http: HttpRouter, options: RegisterRoutesOptions = {}): void {
  const { pathPrefix = DEFAULT_PATH_PREFIX, ...overrides } = options;
  const prefix = pathPrefix.replace(/\/+$/, "");
  const handler = httpAction((ctx, request) => receive(ctx, request, prefix, overrides));
  http.route({ path: `${prefix}${WEBHOOK_PATH}`, method: "POST", handler });
  http.route({ pathPrefix: `${prefix}${WEBHOOK_PATH}/`, method: "POST", handler });
}

async function receive(
  ctx: ActionCtx,
  request: Request,
  prefix: string,
  overrides: Omit<RegisterRoutesOptions, "pathPrefix">,
): Promise<Response> {
  const secrets = readWebhookSecrets();
  if (secrets === null) {
    console.error("TELEGRAM_WEBHOOK_SECRETS is missing or malformed. Run `pulumi up` for this stack.");
    return json(503, { ok: false, error: "webhook is not configured" });
  }
  const candidates = refsOfPath(prefix, new URL(request.url).pathname);
  const botSecretRef = await botOfHeader(secrets, request.headers.get(SECRET_HEADER), candidates);
  if (botSecretRef === null) return json(403, { ok: false, error: "wrong or missing secret token" });

  const body = await readCappedText(request.body, UPDATE_BYTES_MAX);
  if (body === null)
    return answer({ kind: "ignored", reason: `update larger than ${UPDATE_BYTES_MAX} bytes` });
  try {
    return answer(
      await ctx.runMutation(internal.ingress.receive.receiveUpdate, { botSecretRef, body, overrides }),
    );
  } catch (error) {
    return await refuse(ctx, botSecretRef, body, error);
  }
}

/**
 * A permanent refusal of the queue will not get better by redelivery: the update is settled with a line to the
 * person. Anything else may pass, so Telegram is asked to try again, a bounded number of times.
 */
async function refuse(ctx: ActionCtx, botSecretRef: string, body: string, error: unknown): Promise<Response> {
  const refusal = factoryErrorOf(error);
  if (refusal !== null && refusal.code !== "not_configured") {
    const { code, message } = refusal;
    return answer(
      await ctx.runMutation(internal.ingress.refuse.refuseUpdate, { botSecretRef, body, code, message }),
    );
  }
  console.error(`telegram update not accepted: ${refusal?.message ?? "internal error"}`);
  // An environment that is not ready yet will be: only a defect counts against the update.
  if (refusal === null) {
    const { settled } = await ctx.runMutation(internal.ingress.refuse.noteFailure, { botSecretRef, body });
    if (settled) return answer({ kind: "ignored", reason: "set aside after repeated failures" });
  }
  return json(503, { ok: false, error: "temporarily unavailable" });
}
