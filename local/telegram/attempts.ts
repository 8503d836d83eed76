import type { Core } from "./core.ts";
import type { PostOutcome } from "./webhookPost.ts";

/** One try to deliver an update. */
export interface Attempt {
  updateId: number;
  /** Milliseconds since 1970. */
  at: number;
  ms: number;
  /** Undefined when no answer came. */
  status: number | null;
  error: string | null;
  /** True for a duplicate that was asked for over the control API. */
  copy: boolean;
}

const KEPT_ATTEMPTS = 2_000;

export function recordAttempt(
  core: Core,
  botId: number,
  attempt: { updateId: number; at: number; outcome: PostOutcome; copy: boolean },
): void {
  const { outcome } = attempt;
  core.store.run(
    "INSERT INTO attempts (bot_id, update_id, at, ms, status, error, copy) VALUES (?, ?, ?, ?, ?, ?, ?)",
    botId,
    attempt.updateId,
    attempt.at,
    outcome.ms,
    outcome.status ?? null,
    outcome.kind === "failed" ? outcome.error : null,
    attempt.copy ? 1 : 0,
  );
  core.store.run("DELETE FROM attempts WHERE seq <= (SELECT max(seq) FROM attempts) - ?", KEPT_ATTEMPTS);
}

/** The newest attempts, oldest first. */
export function listAttempts(core: Core, botId: number, limit: number): Attempt[] {
  const rows = core.store.all<Omit<Attempt, "copy"> & { copy: number }>(
    `SELECT update_id AS updateId, at, ms, status, error, copy FROM
       (SELECT * FROM attempts WHERE bot_id = ? ORDER BY seq DESC LIMIT ?) ORDER BY seq`,
    botId,
    limit,
  );
  return rows.map((row) => ({ ...row, copy: row.copy === 1 }));
}
