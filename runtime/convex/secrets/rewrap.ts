/**
 * Rotation of the master key: the stack adds a key to the ring and makes it active; this brings every row to
 * it, a batch per step. Reads keep working throughout, since each row says which key wraps it. Interrupted
 * anywhere, the next run finds what is left by its key id.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalAction, internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readKeyRing, rewrap } from "./envelope.ts";

const BATCH = 50;

const vWrapped = v.object({
  id: v.id("secrets"),
  secretRef: v.string(),
  version: v.number(),
  keyId: v.string(),
  wrappedKey: v.string(),
});

type Step = { rewrapped: number; failed: number; more: boolean };

/** `factory:rewrapSecrets`. Answers for its first batch; `more` says that the rest follows by itself. */
export const rewrapSecrets = internalAction({
  args: { cursor: v.optional(v.union(v.string(), v.null())), actor: v.optional(v.string()) },
  returns: v.object({ rewrapped: v.number(), failed: v.number(), more: v.boolean() }),
  handler: async (ctx, { cursor, actor }): Promise<Step> => {
    const ring = readKeyRing();
    const page: { rows: Array<typeof vWrapped.type>; next: string | null } = await ctx.runQuery(
      internal.secrets.rewrap.page,
      { cursor: cursor ?? null, activeKeyId: ring.active },
    );
    const changes = [];
    let failed = 0;
    for (const row of page.rows) {
      try {
        const wrapped = await rewrap(row, { ...row, ciphertext: "" }, ring);
        changes.push({ id: row.id, before: row.wrappedKey, ...wrapped });
      } catch (error) {
        // A row whose key is lost must not keep the others on the old key; it stays readable by none.
        failed += 1;
        console.error(`secret not re-wrapped: ${error instanceof Error ? error.message : "unknown error"}`);
      }
    }
    const rewrapped: number = await ctx.runMutation(internal.secrets.rewrap.apply, {
      changes,
      failed,
      actor: actor ?? "operator",
    });
    if (page.next !== null) {
      await ctx.scheduler.runAfter(0, internal.secrets.rewrap.rewrapSecrets, { cursor: page.next, actor });
    }
    return { rewrapped, failed, more: page.next !== null };
  },
});

/** Rows of one page that another key than the active one wraps. */
export const page = internalQuery({
  args: { cursor: v.union(v.string(), v.null()), activeKeyId: v.string() },
  returns: v.object({ rows: v.array(vWrapped), next: v.union(v.string(), v.null()) }),
  handler: async (ctx, { cursor, activeKeyId }) => {
    const result = await ctx.db.query("secrets").paginate({ numItems: BATCH, cursor });
    const rows = result.page
      // An emptied row (removeSecret) has no key to wrap.
      .filter((row) => row.keyId !== activeKeyId && row.wrappedKey !== "")
      .map(({ _id, secretRef, version, keyId, wrappedKey }) => ({
        id: _id,
        secretRef,
        version,
        keyId,
        wrappedKey,
      }));
    return { rows, next: result.isDone ? null : result.continueCursor };
  },
});

/** Writes what is still as it was read: a second run that overlaps changes nothing twice. */
export const apply = internalMutation({
  args: {
    changes: v.array(
      v.object({ id: v.id("secrets"), before: v.string(), keyId: v.string(), wrappedKey: v.string() }),
    ),
    failed: v.number(),
    actor: v.string(),
  },
  returns: v.number(),
  handler: async (ctx, { changes, failed, actor }): Promise<number> => {
    let rewrapped = 0;
    for (const { id, before, keyId, wrappedKey } of changes) {
      const row = await ctx.db.get("secrets", id);
      if (row === null || row.wrappedKey !== before) continue;
      await ctx.db.patch("secrets", id, { keyId, wrappedKey });
      rewrapped += 1;
    }
    if (rewrapped > 0 || failed > 0) {
      await recordAudit(ctx, {
        actor,
        action: "secret.rewrap",
        target: changes[0]?.keyId ?? "none",
        outcome: failed > 0 ? "failed" : "ok",
        detail: `${rewrapped} re-wrapped, ${failed} failed`,
      });
    }
    return rewrapped;
  },
});
