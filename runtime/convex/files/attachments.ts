/**
 * Stored files of messages: which file belongs to which conversation, and when it goes. Only what was uploaded to
 * the deployment is stored here; a Telegram file stays with Telegram, and the worker downloads it.
 */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { takeWithin } from "../policy/takeWithin.ts";
import type { Payload } from "../validators.ts";
import { deleteUnheld, type FileOwner, holderOf } from "./holders.ts";

/** Names of the stored files that a payload carries, each once. */
export function storedFiles(payload: Payload): string[] {
  const names = (payload.attachments ?? []).flatMap(({ storageId }) => storageId ?? []);
  return [...new Set(names)];
}

/**
 * Makes a message hold its stored files, so that they live as long as it needs them.
 *
 * @throws not_found for a file that is not stored, or that is somebody else's: another conversation's, an agent's
 *   answer, part of a snapshot. The two look the same, so that nobody learns which ids exist.
 */
export async function holdAttachments(
  ctx: MutationCtx,
  { conversation, companyId }: FileOwner,
  message: Id<"messageQueue">,
  payload: Payload,
): Promise<void> {
  for (const name of storedFiles(payload)) {
    const storageId = ctx.db.system.normalizeId("_storage", name);
    if (storageId === null || !(await isFree(ctx, { conversation, companyId }, storageId))) {
      throw new FactoryError("not_found", `Attachment '${name}' is not stored here; upload it first`);
    }
    await ctx.db.insert("attachmentFiles", {
      storageId,
      conversation,
      message,
      ...(companyId === undefined ? {} : { companyId }),
    });
  }
}

/** Whoever knows a file's id has not shown that it is theirs: the first use makes it a conversation's, or a company's. */
async function isFree(ctx: QueryCtx, owner: FileOwner, storageId: Id<"_storage">): Promise<boolean> {
  if ((await ctx.db.system.get("_storage", storageId)) === null) return false;
  const holder = await holderOf(ctx, storageId);
  if (holder === null) return true;
  if (holder.kind !== "message") return false;
  const { companyId } = holder.owner;
  return (
    holder.owner.conversation === owner.conversation ||
    (companyId !== undefined && companyId === owner.companyId)
  );
}

/** Lets go of a message's files; a file that no other message holds is deleted. */
export async function releaseAttachments(ctx: MutationCtx, message: Id<"messageQueue">): Promise<void> {
  const held = await ctx.db
    .query("attachmentFiles")
    .withIndex("by_message", (q) => q.eq("message", message))
    .collect();
  for (const row of held) await ctx.db.delete("attachmentFiles", row._id);
  for (const { storageId } of held) await deleteUnheld(ctx, storageId);
}

/**
 * Releases the files of messages that ended long ago, before the messages themselves go. Dead letters keep theirs:
 * a replay needs them.
 *
 * @param cutoff messages that ended at this time or before, ms.
 */
export async function pruneAttachments(
  ctx: MutationCtx,
  cutoff: number,
  { rowsMax, bytesMax }: { rowsMax: number; bytesMax: number },
): Promise<{ deleted: number; more: boolean }> {
  const due: Array<Doc<"messageQueue">> = [];
  let more = false;
  for (const status of ["done", "cancelled"] as const) {
    const rows = ctx.db
      .query("messageQueue")
      .withIndex("by_files_finished", (q) =>
        q.eq("holdsFiles", true).eq("status", status).lte("finishedAt", cutoff),
      );
    const taken = await takeWithin(rows, rowsMax, bytesMax);
    due.push(...taken.rows);
    more = taken.more;
    // What is cancelled waits for its own turn: one batch is as large as a transaction should be.
    if (due.length > 0) break;
  }
  for (const message of due) {
    await releaseAttachments(ctx, message._id);
    const attachments = (message.payload.attachments ?? []).map(({ storageId: _gone, ...rest }) => rest);
    await ctx.db.patch("messageQueue", message._id, {
      holdsFiles: undefined,
      payload: { ...message.payload, attachments },
    });
  }
  // Of two kinds only one was looked at when it had something; the next call looks again.
  return { deleted: due.length, more: more || due.length > 0 };
}
