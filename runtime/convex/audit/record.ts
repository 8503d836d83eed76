/** The one writer of the audit log. */
import type { MutationCtx } from "../_generated/server.js";
import { clipText } from "../policy/clipText.ts";

/** Longest text kept of each field, characters. */
const FIELD_MAX_CHARS = 500;

export type AuditEntry = {
  /** Who: a stack, an operator's name, `system`. */
  actor: string;
  /** What, as `<noun>.<verb>`, for example `secret.import`. */
  action: string;
  /** On what: a ref, key or id. Never a value. */
  target: string;
  outcome: "ok" | "refused" | "failed";
  /** Counts, versions, reasons. Never a secret, never what people wrote. */
  detail?: string;
};

/** Appends a row in the caller's transaction: an act that rolls back leaves no trace of having happened. */
export async function recordAudit(ctx: MutationCtx, entry: AuditEntry): Promise<void> {
  const { detail, ...required } = entry;
  await ctx.db.insert("auditLog", {
    at: Date.now(),
    actor: clipText(required.actor, FIELD_MAX_CHARS),
    action: clipText(required.action, FIELD_MAX_CHARS),
    target: clipText(required.target, FIELD_MAX_CHARS),
    outcome: required.outcome,
    ...(detail === undefined ? {} : { detail: clipText(detail, FIELD_MAX_CHARS) }),
  });
}
