/** The sender: an action that walks one lane, part by part. It holds no state that a crash could lose. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { type ActionCtx, internalAction } from "../_generated/server.js";
import type { SendOutcome } from "../policy/delivery.ts";
import { buildSend, type SendJob } from "./sendRequest.ts";
import { callTelegram } from "./telegramApi.ts";

/** Steps of one action: with the longest timeouts this stays below the platform's ten minutes for an action. */
const STEPS_MAX = 20;
const RUN_MS_MAX = 5 * 60_000;

/** Sends what waits in a lane, in order, at most once per announced attempt. Never sleeps: waits are scheduled. */
export const deliverLane = internalAction({
  args: { laneId: v.id("outboxLanes"), run: v.number() },
  returns: v.null(),
  handler: async (ctx, { laneId, run }) => {
    const startedAt = Date.now();
    let job: SendJob | null = await ctx.runMutation(internal.replies.delivery.step, {
      laneId,
      run,
      finished: null,
      last: false,
    });
    for (let steps = 1; job !== null; steps += 1) {
      const outcome = await sendPart(ctx, job);
      job = await ctx.runMutation(internal.replies.delivery.step, {
        laneId,
        run,
        finished: { partId: job.partId, attempt: job.attempt, outcome },
        last: steps >= STEPS_MAX || Date.now() - startedAt > RUN_MS_MAX,
      });
    }
    return null;
  },
});

async function sendPart(ctx: ActionCtx, job: SendJob): Promise<SendOutcome> {
  let blob: Blob | null = null;
  if (job.content.kind === "file") {
    blob = await ctx.storage.get(job.content.storageId);
    if (blob === null) {
      return {
        kind: "refused",
        status: 400,
        description: "the file is no longer stored",
        retryAfterS: null,
        migrateToChatId: null,
      };
    }
  }
  const { method, body } = buildSend(job, blob);
  const result = await callTelegram({
    apiUrl: job.apiUrl,
    token: job.token,
    method,
    body,
    timeoutMs: job.timeoutMs,
  });
  return result.kind === "ok" ? { kind: "sent", telegramMessageId: messageIdOf(result.result) } : result;
}

function messageIdOf(result: unknown): number | null {
  if (typeof result !== "object" || result === null || !("message_id" in result)) return null;
  return typeof result.message_id === "number" ? result.message_id : null;
}
