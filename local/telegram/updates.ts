import type { Core } from "./core.ts";
import { isAllowedKind, type UpdateKind } from "./wire.ts";

/** An update as its bot gets it. */
export interface StoredUpdate {
  botId: number;
  updateId: number;
  /** Updates of one key are delivered one after the other; different keys run side by side. */
  queueKey: string;
  kind: string;
  /** The exact JSON that is delivered. */
  body: string;
  createdAt: number;
}

interface UpdateRow {
  bot_id: number;
  update_id: number;
  queue_key: string;
  kind: string;
  body: string;
  created_at: number;
}

/** Delivered updates that stay on file, for duplicates and for reading what was sent. */
const KEPT_UPDATES = 5_000;

const toUpdate = (row: UpdateRow): StoredUpdate => ({
  botId: row.bot_id,
  updateId: row.update_id,
  queueKey: row.queue_key,
  kind: row.kind,
  body: row.body,
  createdAt: row.created_at,
});

/** The kinds a bot has asked for with setWebhook or getUpdates; empty means Telegram's default set. */
export function allowedUpdates(core: Core, botId: number): string[] {
  const row = core.store.get<{ allowed_updates: string }>(
    "SELECT allowed_updates FROM webhooks WHERE bot_id = ?",
    botId,
  );
  return row ? (JSON.parse(row.allowed_updates) as string[]) : [];
}

/**
 * Queues an update for its bot. Kinds that the bot did not ask for are never queued, as with Telegram.
 * Announce with `core.changes.emit("update", botId)` after the transaction.
 *
 * @returns the update's id, or null when the bot does not want its kind.
 */
export function addUpdate(
  core: Core,
  botId: number,
  kind: UpdateKind,
  queueKey: string,
  payload: unknown,
): number | null {
  if (!isAllowedKind(kind, allowedUpdates(core, botId))) return null;
  const counter = core.store.get<{ id: number }>(
    "UPDATE bots SET next_update_id = next_update_id + 1 WHERE id = ? RETURNING next_update_id - 1 AS id",
    botId,
  );
  if (!counter) throw new Error(`no bot ${botId}`);
  core.store.run(
    `INSERT INTO updates (bot_id, update_id, queue_key, kind, body, created_at, state)
     VALUES (?, ?, ?, ?, ?, ?, 'pending')`,
    botId,
    counter.id,
    queueKey,
    kind,
    JSON.stringify({ update_id: counter.id, [kind]: payload }),
    core.now(),
  );
  return counter.id;
}

export function findUpdate(core: Core, botId: number, updateId: number): StoredUpdate | undefined {
  const row = core.store.get<UpdateRow>(
    "SELECT * FROM updates WHERE bot_id = ? AND update_id = ?",
    botId,
    updateId,
  );
  return row && toUpdate(row);
}

/** Pending updates after `afterId`, oldest first. */
export function pendingUpdates(core: Core, botId: number, afterId: number, limit: number): StoredUpdate[] {
  return core.store
    .all<UpdateRow>(
      "SELECT * FROM updates WHERE bot_id = ? AND state = 'pending' AND update_id > ? ORDER BY update_id LIMIT ?",
      botId,
      afterId,
      limit,
    )
    .map(toUpdate);
}

export function pendingCount(core: Core, botId: number): number {
  return (
    core.store.get<{ n: number }>(
      "SELECT count(*) AS n FROM updates WHERE bot_id = ? AND state = 'pending'",
      botId,
    )?.n ?? 0
  );
}

export function settleUpdate(
  core: Core,
  botId: number,
  updateId: number,
  state: "delivered" | "expired",
): void {
  core.store.run("UPDATE updates SET state = ? WHERE bot_id = ? AND update_id = ?", state, botId, updateId);
  core.store.run(
    "DELETE FROM updates WHERE bot_id = ? AND state <> 'pending' AND update_id <= ?",
    botId,
    updateId - KEPT_UPDATES,
  );
}

/** Marks every pending update up to `upToId` as settled: what getUpdates' offset and drop_pending_updates do. */
export function settlePending(
  core: Core,
  botId: number,
  state: "delivered" | "expired",
  upToId?: number,
): void {
  core.store.run(
    "UPDATE updates SET state = ? WHERE bot_id = ? AND state = 'pending' AND update_id <= ?",
    state,
    botId,
    upToId ?? Number.MAX_SAFE_INTEGER,
  );
}

/** What a negative getUpdates offset does: only the newest `kept` updates stay pending. */
export function settleAllButLast(core: Core, botId: number, kept: number): void {
  core.store.run(
    `UPDATE updates SET state = 'delivered' WHERE bot_id = ? AND state = 'pending' AND update_id NOT IN
       (SELECT update_id FROM updates WHERE bot_id = ? AND state = 'pending' ORDER BY update_id DESC LIMIT ?)`,
    botId,
    botId,
    kept,
  );
}

/** Updates that nobody fetched for 24 hours are gone. */
export function expireBefore(core: Core, botId: number, createdBefore: number): void {
  core.store.run(
    "UPDATE updates SET state = 'expired' WHERE bot_id = ? AND state = 'pending' AND created_at < ?",
    botId,
    createdBefore,
  );
}
