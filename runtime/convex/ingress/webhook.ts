/** Registering, inspecting and deleting bots' webhooks at Telegram. The stack configures after every deploy. */
import { v } from "convex/values";
import * as z from "zod";
import { internal } from "../_generated/api.js";
import { type ActionCtx, internalAction } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { ALLOWED_UPDATES } from "../policy/telegramUpdate.ts";
import { callTelegram, type TelegramResult } from "../replies/telegramApi.ts";
import { sha256Hex } from "../secrets/digest.ts";
import { botIdOfToken } from "./bots.ts";
import { botSecretRef, DEFAULT_PATH_PREFIX, webhookPath } from "./paths.ts";
import { checkSiteUrl } from "./siteUrl.ts";
import { readWebhookSecrets, webhookHeaderValue } from "./webhookSecret.ts";

declare const process: { env: Record<string, string | undefined> };

const CALL_TIMEOUT_MS = 15_000;
/** These calls change nothing when repeated, so that an unknown outcome may be tried again. */
const CALL_ATTEMPTS_MAX = 4;
const RETRY_PAUSE_MAX_MS = 5_000;

const DEFAULT_SECRET_REF = "telegram.botToken.default";

const vBotChoice = {
  /** Default `telegram.botToken.default`, or the agent's own bot when `agentKey` is given. */
  secretRef: v.optional(v.string()),
  agentKey: v.optional(v.string()),
};

const webhookInfoSchema = z.object({
  url: z.string(),
  pending_update_count: z.number().default(0),
  last_error_message: z.string().optional(),
  last_error_date: z.number().optional(),
  allowed_updates: z.array(z.string()).optional(),
});
const meSchema = z.object({ id: z.number(), username: z.string().optional() });

const refOf = (choice: { secretRef?: string | undefined; agentKey?: string | undefined }): string =>
  choice.secretRef ?? (choice.agentKey === undefined ? DEFAULT_SECRET_REF : botSecretRef(choice.agentKey));

type Bot = { apiUrl: string; token: string };

/** Calls with bounded retries; only for methods that may be repeated. */
async function callRepeatable(
  bot: Bot,
  method: string,
  body: Record<string, unknown>,
): Promise<TelegramResult> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await callTelegram({ ...bot, method, body, timeoutMs: CALL_TIMEOUT_MS });
    const passing = result.kind === "unknown" || result.kind === "not_sent" || isRateLimited(result);
    if (!passing || attempt >= CALL_ATTEMPTS_MAX) return result;
    const asked = result.kind === "refused" ? (result.retryAfterS ?? 1) * 1_000 : 500 * 2 ** (attempt - 1);
    await new Promise((resolve) => setTimeout(resolve, Math.min(RETRY_PAUSE_MAX_MS, asked)));
  }
}

const isRateLimited = (result: TelegramResult): boolean => result.kind === "refused" && result.status === 429;

/** The call's result, or the error that the operator sees. */
function resultOf<T>(method: string, result: TelegramResult, schema: z.ZodType<T>): T {
  if (result.kind !== "ok") {
    const code = result.kind === "refused" ? "provider_failed" : "provider_unknown";
    throw new FactoryError(code, `Telegram ${method} failed: ${result.description}`);
  }
  const parsed = schema.safeParse(result.result);
  if (!parsed.success)
    throw new FactoryError("provider_failed", `Telegram ${method} failed: unexpected result`);
  return parsed.data;
}

type BotAccess = {
  token: string | null;
  apiUrl: string;
  pathPrefix: string;
  webhookSecretHash: string | null;
};

async function access(ctx: ActionCtx, secretRef: string): Promise<BotAccess> {
  return await ctx.runQuery(internal.ingress.webhookState.botAccess, { secretRef });
}

/**
 * Points a bot's webhook at this deployment and reports what Telegram then says about it. `isReady`: Telegram
 * delivers to the right URL. Repeating it changes nothing but the secret, which is how rotation is carried out.
 */
export const configureTelegramWebhook = internalAction({
  args: { convexSiteUrl: v.optional(v.string()), ...vBotChoice },
  returns: v.object({
    ok: v.boolean(),
    webhookUrl: v.string(),
    currentUrl: v.string(),
    isReady: v.boolean(),
    pendingUpdateCount: v.number(),
    lastErrorMessage: v.union(v.string(), v.null()),
    /** Seconds since the epoch, as Telegram reports it. */
    lastErrorDate: v.union(v.number(), v.null()),
    description: v.string(),
  }),
  handler: async (ctx, { convexSiteUrl, ...choice }) => {
    const secretRef = refOf(choice);
    const { token, apiUrl, pathPrefix } = await access(ctx, secretRef);
    if (token === null) {
      throw new FactoryError(
        "not_configured",
        `Missing Telegram token. Import an active '${secretRef}' secret before pairing.`,
      );
    }
    const site = checkSiteUrl(convexSiteUrl ?? process.env["CONVEX_SITE_URL"] ?? "", apiUrl);
    if (!site.ok) throw new FactoryError("invalid_argument", site.error);
    if (pathPrefix !== DEFAULT_PATH_PREFIX) {
      throw new FactoryError(
        "not_configured",
        `telegram.pathPrefix is '${pathPrefix}', but http.ts mounts '${DEFAULT_PATH_PREFIX}'. Make them the same.`,
      );
    }
    const secrets = readWebhookSecrets();
    if (secrets === null) {
      throw new FactoryError(
        "not_configured",
        "TELEGRAM_WEBHOOK_SECRETS is missing or malformed. Run `pulumi up`.",
      );
    }
    const bot = { apiUrl, token };
    const me = resultOf("getMe", await callRepeatable(bot, "getMe", {}), meSchema);
    const webhookUrl = `${site.url}${webhookPath(pathPrefix, secretRef)}`;
    const headerValue = await webhookHeaderValue(secrets, secretRef);
    resultOf(
      "setWebhook",
      await callRepeatable(bot, "setWebhook", {
        url: webhookUrl,
        secret_token: headerValue,
        allowed_updates: ALLOWED_UPDATES,
      }),
      z.unknown(),
    );
    await ctx.runMutation(internal.ingress.webhookState.recordConfigured, {
      secretRef,
      botId: botIdOfToken(token) ?? String(me.id),
      username: me.username ?? null,
      webhookUrl,
      webhookSecretHash: await sha256Hex(headerValue),
    });
    const info = resultOf(
      "getWebhookInfo",
      await callRepeatable(bot, "getWebhookInfo", {}),
      webhookInfoSchema,
    );
    const isReady = info.url === webhookUrl;
    return {
      ok: true,
      webhookUrl,
      currentUrl: info.url,
      isReady,
      pendingUpdateCount: info.pending_update_count,
      lastErrorMessage: info.last_error_message ?? null,
      lastErrorDate: info.last_error_date ?? null,
      description: isReady
        ? `@${me.username ?? me.id} delivers to ${webhookUrl}`
        : `Telegram still names '${info.url}'; run configureTelegramWebhook again`,
    };
  },
});

/** For `doctor` and `pulumi refresh`: what Telegram has, and whether it is what this deployment wants. */
export const telegramWebhookStatus = internalAction({
  args: { convexSiteUrl: v.optional(v.string()), ...vBotChoice },
  returns: v.object({
    secretRef: v.string(),
    configured: v.boolean(),
    /** Each difference in one line; empty when all is well. */
    drift: v.array(v.string()),
    currentUrl: v.union(v.string(), v.null()),
    pendingUpdateCount: v.number(),
    lastErrorMessage: v.union(v.string(), v.null()),
  }),
  handler: async (ctx, { convexSiteUrl, ...choice }) => {
    const secretRef = refOf(choice);
    const { token, apiUrl, pathPrefix, webhookSecretHash } = await access(ctx, secretRef);
    const none = {
      secretRef,
      configured: false,
      currentUrl: null,
      pendingUpdateCount: 0,
      lastErrorMessage: null,
    };
    if (token === null) return { ...none, drift: [`no active '${secretRef}' secret`] };
    const result = await callRepeatable({ apiUrl, token }, "getWebhookInfo", {});
    if (result.kind !== "ok")
      return { ...none, drift: [`Telegram getWebhookInfo failed: ${result.description}`] };
    const info = resultOf("getWebhookInfo", result, webhookInfoSchema);
    const drift: string[] = [];
    const wanted = `${(convexSiteUrl ?? process.env["CONVEX_SITE_URL"] ?? "").replace(/\/+$/, "")}${webhookPath(pathPrefix, secretRef)}`;
    if (info.url !== wanted) drift.push(`webhook is '${info.url}', wanted '${wanted}'`);
    const updates = info.allowed_updates;
    if (updates !== undefined && [...updates].sort().join() !== [...ALLOWED_UPDATES].sort().join()) {
      drift.push(`allowed_updates are ${updates.join(", ")}, wanted ${ALLOWED_UPDATES.join(", ")}`);
    }
    // Telegram never shows the secret; what we registered last is compared with what we would register now.
    const secrets = readWebhookSecrets();
    if (
      secrets !== null &&
      webhookSecretHash !== (await sha256Hex(await webhookHeaderValue(secrets, secretRef)))
    ) {
      drift.push("the webhook secret changed since it was registered; run configureTelegramWebhook");
    }
    return {
      secretRef,
      configured: info.url !== "",
      drift,
      currentUrl: info.url,
      pendingUpdateCount: info.pending_update_count,
      lastErrorMessage: info.last_error_message ?? null,
    };
  },
});

/** For `pulumi destroy`: Telegram stops delivering. A bot without a token or with a revoked one has nothing to delete. */
export const deleteTelegramWebhook = internalAction({
  args: vBotChoice,
  returns: v.object({ ok: v.boolean(), deleted: v.boolean(), description: v.string() }),
  handler: async (ctx, choice) => {
    const secretRef = refOf(choice);
    const { token, apiUrl } = await access(ctx, secretRef);
    if (token === null) return { ok: true, deleted: false, description: `no active '${secretRef}' secret` };
    const result = await callRepeatable({ apiUrl, token }, "deleteWebhook", {});
    const gone = result.kind === "refused" && (result.status === 401 || result.status === 404);
    if (!gone) resultOf("deleteWebhook", result, z.unknown());
    await ctx.runMutation(internal.ingress.webhookState.recordDeleted, { secretRef });
    return gone
      ? { ok: true, deleted: false, description: "Telegram no longer accepts this bot's token" }
      : { ok: true, deleted: true, description: "webhook deleted" };
  },
});
