import * as z from "zod";
import type { Core } from "./core.ts";
import { seconds } from "./core.ts";
import { badRequest } from "./errors.ts";
import type { Params } from "./params.ts";
import { pendingCount } from "./updates.ts";
import { isUpdateKind } from "./wire.ts";

/** Where and how a bot's updates are delivered. */
export interface Webhook {
  url: string;
  /** Empty when none was set. */
  secretToken: string;
  maxConnections: number;
  allowedUpdates: string[];
}

interface WebhookRow {
  url: string;
  secret_token: string;
  max_connections: number;
  allowed_updates: string;
  last_error_at: number | null;
  last_error_message: string | null;
  gone_since: number | null;
}

const DEFAULT_MAX_CONNECTIONS = 40;
const MAX_CONNECTIONS_LIMIT = 100;
const HTTPS_PORTS = new Set(["", "443", "80", "88", "8443"]);
const LOOPBACK_HOSTS = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** The active webhook; undefined while the bot has none (or only kept its allowed_updates). */
export function findWebhook(core: Core, botId: number): Webhook | undefined {
  const row = core.store.get<WebhookRow>("SELECT * FROM webhooks WHERE bot_id = ? AND url <> ''", botId);
  return (
    row && {
      url: row.url,
      secretToken: row.secret_token,
      maxConnections: row.max_connections,
      allowedUpdates: JSON.parse(row.allowed_updates) as string[],
    }
  );
}

/** Reads setWebhook's arguments; settings that are left out take Telegram's defaults, `allowed_updates` stays as it was. */
export function parseWebhook(params: Params, previousAllowed: string[]): Webhook {
  const url = params.text("url") ?? "";
  if (url !== "") assertDeliverable(url);
  const secretToken = params.text("secret_token") ?? "";
  if (secretToken.length > 256) throw badRequest("secret token is too long");
  if (!/^[A-Za-z0-9_-]*$/.test(secretToken)) throw badRequest("secret token contains unallowed characters");
  const asked = params.integer("max_connections") ?? DEFAULT_MAX_CONNECTIONS;
  return {
    url,
    secretToken,
    maxConnections: Math.min(Math.max(asked, 1), MAX_CONNECTIONS_LIMIT),
    allowedUpdates: parseAllowedUpdates(params) ?? previousAllowed,
  };
}

/** `allowed_updates` of a call: undefined when left out; unknown kinds are ignored, as Telegram does. */
export function parseAllowedUpdates(params: Params): string[] | undefined {
  const kinds = params.json(
    "allowed_updates",
    z.array(z.string()),
    "can't parse allowed updates: Expected an Array of String",
  );
  return kinds?.filter(isUpdateKind);
}

/** Telegram's own rule, plus plain http to this machine, because everything of the embedded cloud is loopback. */
function assertDeliverable(url: string): void {
  if (!URL.canParse(url)) throw badRequest("invalid webhook URL specified");
  const { protocol, hostname, port } = new URL(url);
  if (protocol === "http:" && LOOPBACK_HOSTS.has(hostname)) return;
  if (protocol !== "https:") {
    throw badRequest(
      "bad webhook: An HTTPS URL must be provided for webhook (this server also takes http to 127.0.0.1)",
    );
  }
  if (!HTTPS_PORTS.has(port) && !LOOPBACK_HOSTS.has(hostname)) {
    throw badRequest("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443");
  }
}

export function saveWebhook(core: Core, botId: number, webhook: Webhook): void {
  core.store.run(
    `INSERT INTO webhooks (bot_id, url, secret_token, max_connections, allowed_updates) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (bot_id) DO UPDATE SET url = excluded.url, secret_token = excluded.secret_token,
       max_connections = excluded.max_connections, allowed_updates = excluded.allowed_updates,
       last_error_at = NULL, last_error_message = NULL, gone_since = NULL`,
    botId,
    webhook.url,
    webhook.secretToken,
    webhook.maxConnections,
    JSON.stringify(webhook.allowedUpdates),
  );
}

/** Keeps the choice of kinds of a bot that polls. */
export function saveAllowedUpdates(core: Core, botId: number, allowedUpdates: string[]): void {
  saveWebhook(core, botId, {
    url: "",
    secretToken: "",
    maxConnections: DEFAULT_MAX_CONNECTIONS,
    allowedUpdates,
  });
}

/** Stops deliveries; the bot's choice of kinds stays, as with Telegram. */
export function removeWebhook(core: Core, botId: number): void {
  core.store.run("UPDATE webhooks SET url = '', secret_token = '' WHERE bot_id = ?", botId);
}

export function recordWebhookError(core: Core, botId: number, message: string): void {
  core.store.run(
    "UPDATE webhooks SET last_error_at = ?, last_error_message = ? WHERE bot_id = ?",
    core.now(),
    message,
    botId,
  );
}

/** Remembers since when a webhook answers 410 Gone. @returns for how long it has, in milliseconds. */
export function recordGone(core: Core, botId: number, gone: boolean): number {
  if (!gone) {
    core.store.run(
      "UPDATE webhooks SET gone_since = NULL WHERE bot_id = ? AND gone_since IS NOT NULL",
      botId,
    );
    return 0;
  }
  core.store.run(
    "UPDATE webhooks SET gone_since = coalesce(gone_since, ?) WHERE bot_id = ?",
    core.now(),
    botId,
  );
  const row = core.store.get<WebhookRow>("SELECT * FROM webhooks WHERE bot_id = ?", botId);
  return core.now() - (row?.gone_since ?? core.now());
}

/** getWebhookInfo's answer. The secret token is never part of it, so nobody can see whether it drifted. */
export function webhookInfo(core: Core, botId: number): Record<string, unknown> {
  const row = core.store.get<WebhookRow>("SELECT * FROM webhooks WHERE bot_id = ?", botId);
  const info: Record<string, unknown> = {
    url: row?.url ?? "",
    has_custom_certificate: false,
    pending_update_count: pendingCount(core, botId),
  };
  if (!row) return info;
  if (row.url !== "") {
    const { hostname } = new URL(row.url);
    if (LOOPBACK_HOSTS.has(hostname)) info.ip_address = "127.0.0.1";
    if (row.last_error_at !== null) info.last_error_date = seconds(row.last_error_at);
    if (row.last_error_message !== null) info.last_error_message = row.last_error_message;
    info.max_connections = row.max_connections;
  }
  const allowed = JSON.parse(row.allowed_updates) as string[];
  if (allowed.length > 0) info.allowed_updates = allowed;
  return info;
}
