/**
 * The worker's contract (spec A3), and every public function of the deployment. Behaviour lives in the stage
 * folders; here is only who may call it and with what. Every function takes the caller's `credential`.
 */
import { v } from "convex/values";
import { workerMutation, workerQuery, workerSubscription } from "./functions.ts";
import { appendMessages } from "./hydration/append.ts";
import { hydrationBundle } from "./hydration/bundle.ts";
import { reportReady, reportStopped } from "./scaler/workerReports.ts";
import { claimMessage } from "./queue/claim.ts";
import { completeMessage } from "./queue/complete.ts";
import { failMessage, releaseMessage } from "./queue/fail.ts";
import { heartbeat as beat } from "./queue/heartbeat.ts";
import { previewAnswer } from "./queue/preview.ts";
import { controlStateOf, inboxOf } from "./queue/inbox.ts";
import { answerFileUploadUrls } from "./snapshots/answerFiles.ts";
import { failUpload, finalizeUpload } from "./snapshots/finalize.ts";
import { prepareUpload } from "./snapshots/prepare.ts";
import { latestSnapshotForRestore } from "./snapshots/read.ts";
import {
  vAnswer,
  vClaim,
  vControlState,
  vFailOutcome,
  vHistoryMessage,
  vHydrationBundle,
  vHydrationHolds,
  vInbox,
  vLeaseRef,
  vPendingToolCall,
  vReadyReport,
  vSnapshotFile,
  vSnapshotForRestore,
} from "./validators.ts";

const lease = vLeaseRef.fields;

// ---- queue

export const claim = workerMutation({
  args: { claimKey: v.string(), agentKeys: v.optional(v.array(v.string())) },
  returns: v.union(vClaim, v.null()),
  handler: (ctx, args) => claimMessage(ctx, ctx.worker, args),
});

export const heartbeat = workerMutation({
  args: { messageId: v.optional(lease.messageId), leaseId: v.optional(lease.leaseId) },
  returns: v.boolean(),
  handler: (ctx, args) => beat(ctx, ctx.worker, args),
});

export const complete = workerMutation({
  args: {
    ...lease,
    answer: v.union(vAnswer, v.null()),
    history: v.array(vHistoryMessage),
    snapshotId: v.optional(v.string()),
    usage: v.optional(
      v.object({ inputTokens: v.optional(v.number()), outputTokens: v.optional(v.number()) }),
    ),
    timings: v.optional(v.object({ hydrateMs: v.optional(v.number()), modelMs: v.optional(v.number()) })),
  },
  returns: v.boolean(),
  handler: (ctx, args) => completeMessage(ctx, ctx.worker, args),
});

/** Shows what has been written so far, where the runtime config asks for it. */
export const preview = workerMutation({
  args: { ...lease, text: v.string() },
  returns: v.boolean(),
  handler: (ctx, args) => previewAnswer(ctx, ctx.worker, args),
});

export const fail = workerMutation({
  args: {
    ...lease,
    errorMessage: v.string(),
    errorKind: v.optional(v.union(v.literal("retryable"), v.literal("permanent"))),
  },
  returns: vFailOutcome,
  handler: (ctx, args) => failMessage(ctx, ctx.worker, args),
});

export const release = workerMutation({
  args: { ...lease, reason: v.string() },
  returns: v.boolean(),
  handler: (ctx, args) => releaseMessage(ctx, ctx.worker, args),
});

export const controlState = workerQuery({
  args: {},
  returns: vControlState,
  handler: async (ctx) => controlStateOf(ctx.worker),
});

export const inbox = workerSubscription({
  args: {},
  returns: vInbox,
  handler: (ctx) => inboxOf(ctx, ctx.signals),
});

// ---- hydration

export const getHydrationBundle = workerQuery({
  args: { ...lease, holds: v.optional(vHydrationHolds) },
  returns: v.union(vHydrationBundle, v.null()),
  handler: (ctx, args) => hydrationBundle(ctx, ctx.worker, args),
});

export const appendConversationMessages = workerMutation({
  args: {
    ...lease,
    conversationId: v.string(),
    messages: v.array(vHistoryMessage),
    pendingToolCalls: v.optional(v.array(vPendingToolCall)),
  },
  returns: v.object({ updated: v.boolean(), messageCount: v.number() }),
  handler: (ctx, args) => appendMessages(ctx, ctx.worker, args),
});

// ---- machines

export const ready = workerMutation({
  args: { report: vReadyReport },
  returns: v.boolean(),
  handler: (ctx, { report }) => reportReady(ctx, ctx.worker, report),
});

export const stopped = workerMutation({
  args: { reason: v.string() },
  returns: v.boolean(),
  handler: (ctx, { reason }) => reportStopped(ctx, ctx.worker, reason),
});

// ---- snapshots

export const prepareDataSnapshotUpload = workerMutation({
  args: { ...lease, files: v.array(vSnapshotFile) },
  returns: v.object({
    snapshotId: v.id("dataSnapshots"),
    uploads: v.array(v.object({ sha256: v.string(), uploadUrl: v.string() })),
  }),
  handler: (ctx, args) => prepareUpload(ctx, ctx.worker, args),
});

export const finalizeDataSnapshotUpload = workerMutation({
  args: {
    ...lease,
    snapshotId: v.id("dataSnapshots"),
    uploaded: v.array(
      v.object({
        sha256: v.string(),
        storageId: v.id("_storage"),
        encoding: v.union(v.literal("zstd"), v.literal("identity")),
      }),
    ),
  },
  returns: v.object({ ready: v.boolean(), version: v.union(v.number(), v.null()) }),
  handler: (ctx, args) => finalizeUpload(ctx, ctx.worker, args),
});

export const failDataSnapshotUpload = workerMutation({
  args: { ...lease, snapshotId: v.id("dataSnapshots"), errorMessage: v.string() },
  returns: v.boolean(),
  handler: (ctx, args) => failUpload(ctx, ctx.worker, args),
});

export const getLatestDataSnapshotForRestore = workerQuery({
  args: lease,
  returns: v.union(vSnapshotForRestore, v.null()),
  handler: (ctx, args) => latestSnapshotForRestore(ctx, ctx.worker, args),
});

/** Where to put the files that the agent produced, before `complete` names them. */
export const prepareAnswerFiles = workerMutation({
  args: { ...lease, count: v.number() },
  returns: v.array(v.string()),
  handler: (ctx, args) => answerFileUploadUrls(ctx, ctx.worker, args),
});
