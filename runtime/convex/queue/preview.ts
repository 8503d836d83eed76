/** What an agent has written so far, from the worker that writes it. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { showPreview } from "../replies/preview.ts";
import { heldMessage } from "./fence.ts";

/** Shows the text in the chat, where the runtime config asks for it. false: no further preview is wanted. */
export async function previewAnswer(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  { text, ...lease }: { messageId: Id<"messageQueue">; leaseId: string; text: string },
): Promise<boolean> {
  const message = await heldMessage(ctx, worker, lease, Date.now());
  if (message === null || message.cancelRequestedAt !== undefined) return false;
  return await showPreview(ctx, message, text);
}
