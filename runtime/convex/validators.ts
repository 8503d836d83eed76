/**
 * Shapes that cross a boundary: between the worker and the backend, and between the backend's rooms.
 * Each validator is declared once and its type inferred. The worker imports this file and nothing else of
 * the backend.
 */
import { type Infer, v } from "convex/values";

/** Where an answer goes. Fixed at ingress, so that a reply reaches the chat and thread it came from. */
export const vDestination = v.union(
  v.object({
    kind: v.literal("telegram"),
    /** Secret ref of the bot that received the message, `telegram.botToken` or `telegram.botToken.<agentKey>`. */
    botSecretRef: v.string(),
    chatId: v.string(),
    threadId: v.optional(v.number()),
    replyToMessageId: v.optional(v.number()),
  }),
  /** The consumer app reads the answer over the API or receives it by a signed webhook. */
  v.object({ kind: v.literal("api") }),
);
export type Destination = Infer<typeof vDestination>;

/** A file that a person sent. Exactly one source: a Telegram file id or a stored file. */
export const vAttachment = v.object({
  kind: v.union(
    v.literal("photo"),
    v.literal("voice"),
    v.literal("audio"),
    v.literal("video"),
    v.literal("document"),
  ),
  fileName: v.optional(v.string()),
  mimeType: v.optional(v.string()),
  sizeBytes: v.optional(v.number()),
  telegramFileId: v.optional(v.string()),
  storageId: v.optional(v.string()),
});
export type Attachment = Infer<typeof vAttachment>;

/** What a person or consumer app asks of an agent (spec E1). */
export const vPayload = v.object({
  provider: v.string(),
  providerUserId: v.string(),
  messageText: v.string(),
  /** Makes enqueue idempotent inside its conversation. */
  externalMessageId: v.optional(v.string()),
  rawUpdateJson: v.optional(v.string()),
  metadata: v.optional(v.record(v.string(), v.string())),
  attachments: v.optional(v.array(vAttachment)),
});
export type Payload = Infer<typeof vPayload>;

export const vMessageStatus = v.union(
  v.literal("queued"),
  v.literal("processing"),
  v.literal("done"),
  v.literal("dead_letter"),
  v.literal("cancelled"),
);
export type MessageStatus = Infer<typeof vMessageStatus>;

/** Who calls: a worker shows its id and its own token with every call (spec Z1). */
export const vWorkerCredential = v.object({ workerId: v.string(), token: v.string() });
export type WorkerCredential = Infer<typeof vWorkerCredential>;

/** A fence: every write of a turn names the lease under which it was made. */
export const vLeaseRef = v.object({ messageId: v.id("messageQueue"), leaseId: v.string() });
export type LeaseRef = Infer<typeof vLeaseRef>;

/** Whether a worker serves one owner at a time, wiped in between (turn.dedication). */
export const vDedication = v.union(v.literal("none"), v.literal("agent"), v.literal("conversation"));
export type Dedication = Infer<typeof vDedication>;

export const vClaim = v.object({
  messageId: v.id("messageQueue"),
  conversationId: v.string(),
  agentKey: v.string(),
  leaseId: v.string(),
  /** Backend time, ms since the epoch. Workers must not compare it with their own clock. */
  leaseExpiresAt: v.number(),
  leaseMs: v.number(),
  heartbeatIntervalMs: v.number(),
  turnTimeoutMs: v.number(),
  dedication: vDedication,
  /** 1 for the first attempt. */
  attempt: v.number(),
  maxAttempts: v.number(),
  payload: vPayload,
});
export type Claim = Infer<typeof vClaim>;

export const vHistoryRole = v.union(
  v.literal("user"),
  v.literal("assistant"),
  v.literal("system"),
  v.literal("tool"),
);
export const vHistoryMessage = v.object({
  role: vHistoryRole,
  content: v.string(),
  /** Accepted and not used: the backend stores its own time, since callers' clocks do not count. */
  at: v.optional(v.number()),
});
export type HistoryMessage = Infer<typeof vHistoryMessage>;

export const vBridgeConfig = v.object({
  enabled: v.boolean(),
  baseUrl: v.optional(v.string()),
  serviceId: v.optional(v.string()),
  appKey: v.optional(v.string()),
  serviceKeySecretRef: v.optional(v.string()),
  appBaseUrlMapJsonSecretRef: v.optional(v.string()),
});

/** One function of a bridge, offered to the agent as the tool `bridge_<key>`. */
export const vBridgeFunction = v.object({
  key: v.string(),
  description: v.string(),
  /** JSON Schema of the arguments, as JSON text. */
  parametersJson: v.string(),
});

export const vBridgeRuntimeConfig = v.object({
  baseUrl: v.union(v.string(), v.null()),
  appBaseUrlMapJson: v.union(v.string(), v.null()),
  serviceId: v.union(v.string(), v.null()),
  appKey: v.union(v.string(), v.null()),
  serviceKey: v.union(v.string(), v.null()),
  serviceKeySecretRef: v.union(v.string(), v.null()),
});
export type BridgeRuntimeConfig = Infer<typeof vBridgeRuntimeConfig>;

/** Tools beyond the safe set that a profile allows (exec, web, …); empty by default. */
export const vToolPolicy = v.object({ allow: v.array(v.string()) });

export const vProfile = v.object({
  agentKey: v.string(),
  /** The operator's own label. */
  version: v.string(),
  /** Changes with every edit; what a warm worker compares. */
  revision: v.number(),
  soulMd: v.string(),
  clientMd: v.optional(v.string()),
  skills: v.array(v.string()),
  toolPolicy: vToolPolicy,
  bridgeFunctions: v.array(vBridgeFunction),
});
export type Profile = Infer<typeof vProfile>;

/** A file of a conversation's folder, addressed by the SHA-256 (hex) of its plain content. */
export const vSnapshotFile = v.object({
  /** Relative POSIX path inside the conversation's folder; the worker's own files are below `.factory/`. */
  path: v.string(),
  sha256: v.string(),
  sizeBytes: v.number(),
});
export type SnapshotFile = Infer<typeof vSnapshotFile>;

/** Content type that a worker uploads snapshot blobs with; so that people see what a stored file is. */
export const SNAPSHOT_CONTENT_TYPE = "application/vnd.agent-factory.snapshot";

export const vSnapshotForRestore = v.object({
  snapshotId: v.id("dataSnapshots"),
  version: v.number(),
  files: v.array(
    v.object({
      path: v.string(),
      sha256: v.string(),
      sizeBytes: v.number(),
      /** `zstd` or `identity`: how the blob behind the URL is encoded. */
      encoding: v.union(v.literal("zstd"), v.literal("identity")),
      url: v.string(),
    }),
  ),
});
export type SnapshotForRestore = Infer<typeof vSnapshotForRestore>;

export const vPendingToolCall = v.object({
  toolName: v.string(),
  toolCallId: v.string(),
  argsJson: v.string(),
});
export type PendingToolCall = Infer<typeof vPendingToolCall>;

/** What a worker already holds of a conversation; the bundle then carries only the rest (spec F1). */
export const vHydrationHolds = v.object({
  profileRevision: v.optional(v.number()),
  snapshotVersion: v.optional(v.number()),
  historyThrough: v.optional(v.number()),
});

export const vHydrationBundle = v.object({
  messageId: v.id("messageQueue"),
  conversationId: v.string(),
  agentKey: v.string(),
  payload: vPayload,
  destination: v.union(vDestination, v.null()),
  /** null: the worker already holds this revision. */
  profile: v.union(vProfile, v.null()),
  profileRevision: v.number(),
  history: v.array(v.object({ role: vHistoryRole, content: v.string(), at: v.number() })),
  /** Highest history sequence number that the worker will hold after this bundle. */
  historyThrough: v.number(),
  pendingToolCalls: v.array(vPendingToolCall),
  telegramBotToken: v.union(v.string(), v.null()),
  telegramApiUrl: v.string(),
  typingIndicator: v.boolean(),
  /** How often the answer may be shown while it is being written, ms; null: not at all. */
  previewIntervalMs: v.union(v.number(), v.null()),
  bridgeRuntimeConfig: v.union(vBridgeRuntimeConfig, v.null()),
  attachments: v.array(
    v.object({
      kind: vAttachment.fields.kind,
      fileName: v.optional(v.string()),
      mimeType: v.optional(v.string()),
      sizeBytes: v.optional(v.number()),
      /** Ready to fetch; null when it must be asked of Telegram by its file id. */
      url: v.union(v.string(), v.null()),
      telegramFileId: v.optional(v.string()),
    }),
  ),
  /** Version of the latest ready snapshot, null for a conversation that has none. */
  snapshotVersion: v.union(v.number(), v.null()),
  /** Set when the worker holds another version or none: what to restore. */
  snapshot: v.union(vSnapshotForRestore, v.null()),
});
export type HydrationBundle = Infer<typeof vHydrationBundle>;

/** What a turn produced. Stored with `complete`, in one transaction, before anything is sent. */
export const vAnswer = v.object({
  /** Markdown as the model wrote it; parts and formatting are the backend's business. */
  text: v.string(),
  /** Files that the agent produced, already uploaded to the deployment's storage. */
  files: v.optional(
    v.array(
      v.object({
        storageId: v.id("_storage"),
        fileName: v.string(),
        mimeType: v.optional(v.string()),
      }),
    ),
  ),
});
export type Answer = Infer<typeof vAnswer>;

export const vFailOutcome = v.object({
  requeued: v.boolean(),
  deadLettered: v.boolean(),
  nextScheduledFor: v.union(v.number(), v.null()),
});
export type FailOutcome = Infer<typeof vFailOutcome>;

export const vControlState = v.object({
  shouldStop: v.boolean(),
  /** `none` while the worker should go on. */
  reason: v.union(
    v.literal("none"),
    v.literal("unknown_worker"),
    v.literal("draining"),
    v.literal("stopped"),
    v.literal("overdue"),
  ),
  /** Time left to drain, ms; null when not draining. A duration, since clocks differ. */
  drainRemainingMs: v.union(v.number(), v.null()),
});
export type ControlState = Infer<typeof vControlState>;

/**
 * The subscription of one worker. It changes only when there is something to do, so that an idle worker
 * costs nothing.
 */
export const vInbox = v.object({
  /** Grows by one with every wake-up: claim until there is no more. */
  wake: v.number(),
  draining: v.boolean(),
  drainRemainingMs: v.union(v.number(), v.null()),
  /** Messages whose turn must be aborted now (cancelled by a person or an operator). */
  cancelled: v.array(v.id("messageQueue")),
  jobsPerWorker: v.number(),
  idleHeartbeatIntervalMs: v.number(),
});
export type Inbox = Infer<typeof vInbox>;

/** Sent once when a worker's gateway is ready and its probe turn answered. */
export const vReadyReport = v.object({
  imageDigest: v.optional(v.string()),
  sourceRevision: v.optional(v.string()),
  bootMs: v.number(),
  gatewayBootMs: v.optional(v.number()),
  probeTurnMs: v.optional(v.number()),
  skills: v.array(v.object({ name: v.string(), sha256: v.string() })),
  /** Skills found outside the image and removed at start (spec L). */
  removedSkills: v.array(v.string()),
});
export type ReadyReport = Infer<typeof vReadyReport>;
