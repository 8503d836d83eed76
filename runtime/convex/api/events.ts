/**
 * Outgoing webhooks: what happened to a consumer's message, told to its company's endpoints. Events are rows first,
 * delivered afterwards, signed, at least once.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalAction, internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { BATCH_BYTES, takeWithin } from "../policy/takeWithin.ts";
import {
  decideWebhook,
  signedContent,
  WEBHOOK_ATTEMPTS_MAX,
  webhookUrlProblem,
} from "../policy/webhookUrl.ts";
import { withinDeadline } from "../deadline.ts";
import { fromBase64, hmacSha256, toBase64 } from "../secrets/digest.ts";
import { readFormerSecret, readSecret } from "../secrets/read.ts";
import { userIdOf } from "./writer.ts";

/** Endpoints of one company; also bounds the reads of a completion. */
export const ENDPOINTS_MAX = 5;
const CALL_TIMEOUT_MS = 15_000;
const SWEEP_BATCH = 100;

export type EventType = "message.answered" | "message.failed" | "message.cancelled";

export const signingRef = (endpointId: string): string => `webhook.signing.${endpointId}`;

/** The embedded cloud, where everything, receivers included, is on this machine. */
export const isEmbedded = (config: RuntimeConfig): boolean =>
  new URL(config.telegram.apiUrl).hostname === "127.0.0.1";

/** Records an event for every endpoint of the message's company; nothing happens without one. */
export async function emitMessageEvent(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  type: EventType,
  text: string,
): Promise<void> {
  const conversation = await ctx.db.get("conversations", message.conversation);
  const companyId = conversation?.companyId;
  if (companyId === undefined) return;
  const endpoints = await ctx.db
    .query("webhookEndpoints")
    .withIndex("by_company", (q) => q.eq("companyId", companyId))
    .take(ENDPOINTS_MAX);
  const now = Date.now();
  for (const endpoint of endpoints) {
    if (!endpoint.enabled) continue;
    const eventId = `evt_${type}_${message._id}`;
    const body = {
      type,
      timestamp: new Date(now).toISOString(),
      data: {
        messageId: message._id,
        conversationId: message.conversationId,
        agentKey: message.agentKey,
        userId: userIdOf(message),
        [type === "message.answered" ? "answer" : "reason"]: text,
      },
    };
    const id = await ctx.db.insert("webhookEvents", {
      endpointId: endpoint._id,
      eventId,
      bodyJson: JSON.stringify(body),
      state: "pending",
      attempts: 0,
      nextAttemptAt: now,
      createdAt: now,
    });
    await ctx.scheduler.runAfter(0, internal.api.events.deliverEvent, { id });
  }
}

const vCall = v.object({
  attempt: v.number(),
  url: v.string(),
  eventId: v.string(),
  timestampS: v.number(),
  body: v.string(),
  /** One for each secret that is in force, space-separated (Standard Webhooks). */
  signature: v.string(),
});

/** One attempt. At most once as an action; the sweep takes up events whose attempt was lost. */
export const deliverEvent = internalAction({
  args: { id: v.id("webhookEvents") },
  returns: v.null(),
  handler: async (ctx, { id }) => {
    const call: typeof vCall.type | null = await ctx.runMutation(internal.api.events.takeEvent, { id });
    if (call === null) return null;
    const outcome = await post(call);
    await ctx.runMutation(internal.api.events.settleEvent, { id, attempt: call.attempt, outcome });
    return null;
  },
});

async function post(call: typeof vCall.type): Promise<{ status: number } | { error: string }> {
  try {
    return await withinDeadline(CALL_TIMEOUT_MS, async (signal) => {
      const response = await fetch(call.url, {
        method: "POST",
        // A redirect could lead anywhere: the URL that was registered is the one that is called.
        redirect: "manual",
        signal,
        headers: {
          "Content-Type": "application/json",
          "webhook-id": call.eventId,
          "webhook-timestamp": String(call.timestampS),
          "webhook-signature": call.signature,
        },
        body: call.body,
      });
      await response.body?.cancel();
      return { status: response.status };
    });
  } catch (error) {
    const timedOut = error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError");
    return { error: timedOut ? `no answer within ${CALL_TIMEOUT_MS} ms` : "connection failed" };
  }
}

/** Announces an attempt and signs it. null: settled, taken by another attempt, or without an endpoint. */
export const takeEvent = internalMutation({
  args: { id: v.id("webhookEvents") },
  returns: v.union(vCall, v.null()),
  handler: async (ctx, { id }) => {
    const now = Date.now();
    const event = await ctx.db.get("webhookEvents", id);
    if (event === null || event.state !== "pending" || event.nextAttemptAt > now) return null;
    const endpoint = await ctx.db.get("webhookEndpoints", event.endpointId);
    const secret = endpoint === null ? null : await readSecret(ctx, signingRef(endpoint._id));
    if (endpoint === null || secret === null) {
      await ctx.db.patch("webhookEvents", id, {
        state: "failed",
        finishedAt: now,
        lastError: "the endpoint is gone",
      });
      return null;
    }
    // Again, since the environment or the rule may have changed after the URL was registered.
    const problem = webhookUrlProblem(endpoint.url, isEmbedded((await readRuntimeConfig(ctx)).config));
    if (problem !== null) {
      await ctx.db.patch("webhookEvents", id, { state: "failed", finishedAt: now, lastError: problem });
      return null;
    }
    const attempt = event.attempts + 1;
    // Until the outcome is known nobody else takes it; when it never is, the sweep does after this time.
    await ctx.db.patch("webhookEvents", id, { attempts: attempt, nextAttemptAt: now + 2 * CALL_TIMEOUT_MS });
    const timestampS = Math.floor(now / 1_000);
    const rotating = endpoint.previousUntil !== undefined && endpoint.previousUntil > now;
    const former = rotating ? await readFormerSecret(ctx, signingRef(endpoint._id)) : null;
    const signed = signedContent(event.eventId, timestampS, event.bodyJson);
    const signatures: string[] = [];
    for (const value of former === null ? [secret] : [secret, former]) {
      const key = fromBase64(value.replace(/^whsec_/, ""));
      signatures.push(`v1,${toBase64(await hmacSha256(key, signed))}`);
    }
    return {
      attempt,
      url: endpoint.url,
      eventId: event.eventId,
      timestampS,
      body: event.bodyJson,
      signature: signatures.join(" "),
    };
  },
});

export const settleEvent = internalMutation({
  args: {
    id: v.id("webhookEvents"),
    attempt: v.number(),
    outcome: v.union(v.object({ status: v.number() }), v.object({ error: v.string() })),
  },
  returns: v.null(),
  handler: async (ctx, { id, attempt, outcome }) => {
    const event = await ctx.db.get("webhookEvents", id);
    if (event === null || event.state !== "pending" || event.attempts !== attempt) return null;
    const now = Date.now();
    const decision = decideWebhook(attempt, outcome, now);
    switch (decision.next) {
      case "delivered":
        await ctx.db.patch("webhookEvents", id, {
          state: "delivered",
          finishedAt: now,
          lastError: undefined,
        });
        return null;
      case "failed":
        await ctx.db.patch("webhookEvents", id, {
          state: "failed",
          finishedAt: now,
          lastError: decision.error,
        });
        return null;
      case "retry":
        await ctx.db.patch("webhookEvents", id, { nextAttemptAt: decision.at, lastError: decision.error });
        await ctx.scheduler.runAt(decision.at, internal.api.events.deliverEvent, { id });
        return null;
    }
  },
});

/** Takes up events whose attempt was lost with its action. */
export const sweepEvents = internalMutation({
  args: {},
  returns: v.object({ resumed: v.number() }),
  handler: async (ctx) => {
    const now = Date.now();
    const pending = ctx.db
      .query("webhookEvents")
      .withIndex("by_state_next", (q) =>
        q.eq("state", "pending").lt("nextAttemptAt", now - 2 * CALL_TIMEOUT_MS),
      );
    const { rows: overdue } = await takeWithin(pending, SWEEP_BATCH);
    for (const event of overdue) {
      if (event.attempts < WEBHOOK_ATTEMPTS_MAX) {
        await ctx.scheduler.runAfter(0, internal.api.events.deliverEvent, { id: event._id });
      } else {
        await ctx.db.patch("webhookEvents", event._id, { state: "failed", finishedAt: now });
      }
    }
    return { resumed: overdue.length };
  },
});

const PRUNE_BATCH = 200;
/** Settled events are kept this long for whoever asks why an event did or did not come. */
const KEPT_MS = 7 * 24 * 60 * 60_000;

export const pruneEvents = internalMutation({
  args: {},
  returns: v.object({ deleted: v.number() }),
  handler: async (ctx) => {
    const before = Date.now() - KEPT_MS;
    let deleted = 0;
    let goOn = false;
    for (const state of ["delivered", "failed"] as const) {
      const settled = ctx.db
        .query("webhookEvents")
        .withIndex("by_state_finished", (q) =>
          q.eq("state", state).gt("finishedAt", 0).lt("finishedAt", before),
        );
      const { rows, more } = await takeWithin(settled, PRUNE_BATCH, BATCH_BYTES / 2);
      for (const { _id } of rows) await ctx.db.delete("webhookEvents", _id);
      deleted += rows.length;
      goOn ||= more;
    }
    if (goOn) await ctx.scheduler.runAfter(0, internal.api.events.pruneEvents, {});
    return { deleted };
  },
});
