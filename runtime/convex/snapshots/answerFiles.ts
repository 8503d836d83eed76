/** Files that an agent produced: stored by the worker before `complete` names them. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { heldMessage } from "../queue/fence.ts";
import type { LeaseRef } from "../validators.ts";

/** Most files of one answer. */
const FILES_MAX = 10;

/** Upload URLs for the files of one answer; none for a stale holder. */
export async function answerFileUploadUrls(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  { count, ...lease }: LeaseRef & { count: number },
): Promise<string[]> {
  const message = await heldMessage(ctx, worker, lease, Date.now());
  if (message === null) return [];
  const urls: string[] = [];
  for (let index = 0; index < Math.min(count, FILES_MAX); index += 1)
    urls.push(await ctx.storage.generateUploadUrl());
  return urls;
}
