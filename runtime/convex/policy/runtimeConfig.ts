/**
 * The shape of an environment's runtime config: every policy, with unit, default and reason.
 *
 * One versioned row in the backend holds it. The Pulumi stack is its only writer (compare-and-set on the
 * revision) and every function reads it at use; it is never passed along in scheduled arguments, because a
 * late call that carries an old copy would revert a rollout.
 *
 * This module is the one thing that `infra` shares with the backend, so it depends on zod and on one
 * rule about names of time zones.
 */
import * as z from "zod";
import { isTimeZone } from "./timeZone.ts";

const milliseconds = (min: number, max: number) => z.number().int().min(min).max(max);
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const queueSchema = z
  .strictObject({
    /** Priority of a message that names none; higher is claimed first. */
    defaultPriority: z.number().int().min(0).max(100).default(50),
    /** Priorities are clamped to 0..maxPriority. */
    maxPriority: z.number().int().min(1).max(100).default(100),
    /** Largest payload accepted at ingress, bytes of JSON. Well below Convex's 1 MiB document limit. */
    payloadMaxBytes: z.number().int().min(1_024).max(512_000).default(131_072),
    /** Most messages waiting in one conversation; protects against a flood by one sender. */
    conversationBacklogMax: z.number().int().min(1).max(100_000).default(1_000),
    /** After a wake-up, how long the chosen worker may take to claim before another one is woken, ms. */
    wakeGraceMs: milliseconds(250, MINUTE).default(2 * SECOND),
  })
  .prefault({});

const retrySchema = z
  .strictObject({
    /** Attempts before a message is dead-lettered. A crash counts, a planned drain or deploy does not. */
    maxAttempts: z.number().int().min(1).max(50).default(5),
    /** Delay after the first failed attempt, ms. */
    baseDelayMs: milliseconds(0, HOUR).default(SECOND),
    /** Upper bound of any delay, ms. */
    maxDelayMs: milliseconds(0, DAY).default(2 * MINUTE),
    /** Delay grows by this factor with each attempt. */
    backoffFactor: z.number().min(1).max(10).default(2),
    /** Up to this share of the delay is added at random, so that failures do not return in step. */
    jitterRatio: z.number().min(0).max(1).default(0.1),
  })
  .prefault({});

const leaseSchema = z
  .strictObject({
    /** How long a claim holds without a heartbeat, ms. Bounds recovery after a crash. */
    leaseMs: milliseconds(5 * SECOND, HOUR).default(45 * SECOND),
    /** How often a working worker renews its leases, ms; less than a third of leaseMs. */
    heartbeatIntervalMs: milliseconds(SECOND, 10 * MINUTE).default(10 * SECOND),
    /** How often an idle worker says that it is alive, ms: at most two calls a minute. */
    idleHeartbeatIntervalMs: milliseconds(5 * SECOND, 10 * MINUTE).default(30 * SECOND),
  })
  .prefault({});

/** Agents that a canary can be kept to: one claim looks for each of them, and each costs it a document. */
export const CANARY_AGENTS_MAX = 8;

const warmWindowSchema = z.strictObject({
  /** ISO weekdays, 1 = Monday … 7 = Sunday. */
  weekdays: z.array(z.number().int().min(1).max(7)).min(1),
  /** Local wall-clock times, HH:mm; `to` is exclusive. Up to or past midnight when `to` is not after `from`. */
  from: z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, "expected HH:mm"),
  to: z.string().regex(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, "expected HH:mm"),
  /** IANA zone, for example Europe/Rome. */
  timeZone: z.string().refine(isTimeZone, {
    error: (issue) => `Invalid timezone '${String(issue.input)}', expected an IANA zone such as Europe/Rome`,
  }),
  /** Warm workers kept during the window. */
  size: z.number().int().min(0).max(100),
});

const scalingSchema = z
  .strictObject({
    /** Workers kept running even when nothing is to do; 0 lets an environment idle at no machine cost. */
    minWorkers: z.number().int().min(0).max(500).default(0),
    /** Exact ceiling of live machines under any interleaving. */
    maxWorkers: z.number().int().min(1).max(500).default(5),
    /** Conversations that one worker serves at once. */
    jobsPerWorker: z.number().int().min(1).max(64).default(4),
    /** Idle time after the last claim before a worker leaves the active set, ms. */
    idleTimeoutMs: milliseconds(SECOND, DAY).default(5 * MINUTE),
    /** At most one machine listing per interval, however many messages arrive, ms. */
    reconcileIntervalMs: milliseconds(250, HOUR).default(15 * SECOND),
    /** How long a machine may be missing from Fly's list before it is believed gone, ms. */
    missingMachineGraceMs: milliseconds(0, HOUR).default(90 * SECOND),
    /** A worker that has not said it is ready after this long is replaced, ms. */
    bootTimeoutMs: milliseconds(5 * SECOND, HOUR).default(4 * MINUTE),
    /** A worker silent for this long (no heartbeat) is treated as lost, ms. */
    workerLostAfterMs: milliseconds(5 * SECOND, HOUR).default(75 * SECOND),
    warmPool: z
      .strictObject({
        /** Idle workers kept startable (suspended or stopped) instead of destroyed. */
        size: z.number().int().min(0).max(500).default(1),
        /** suspend resumes in a second or so but needs at most 2 GB of memory; stop boots anew. */
        mode: z.enum(["suspend", "stop", "none"]).default("suspend"),
        /** A warm machine unused for this long is destroyed, ms. */
        stoppedTtlMs: milliseconds(SECOND, 30 * DAY).default(6 * HOUR),
        /** Windows in which more workers are kept warm; the largest matching size wins. */
        schedule: z.array(warmWindowSchema).max(50).default([]),
      })
      .prefault({}),
  })
  .prefault({});

const drainSchema = z
  .strictObject({
    /**
     * After a stop signal: how long a worker may finish its turns before it releases them, ms; below killTimeoutMs.
     * A drain by the scaler leaves turn.turnTimeoutMs more, since no platform is about to kill.
     */
    drainTimeoutMs: milliseconds(SECOND, 290 * SECOND).default(60 * SECOND),
    /** Time from the stop signal to the platform's kill, ms; Fly allows at most 300 s. */
    killTimeoutMs: milliseconds(2 * SECOND, 300 * SECOND).default(90 * SECOND),
  })
  .prefault({});

const turnSchema = z
  .strictObject({
    /** A turn that takes longer is aborted and counts as a failed attempt, ms. */
    turnTimeoutMs: milliseconds(SECOND, 30 * MINUTE).default(5 * MINUTE),
    /** Dedicate a worker to one owner at a time; `/data` is wiped when the owner changes. */
    dedication: z.enum(["none", "agent", "conversation"]).default("none"),
    /** Show a typing indicator while the agent works. */
    typingIndicator: z.boolean().default(true),
    /**
     * Show an answer in the chat while it is being written, by editing one message at most this often, ms. null: only
     * the finished answer is sent. Telegram takes about one message a second per chat, and 20 a minute per group.
     */
    previewIntervalMs: milliseconds(1_500, MINUTE).nullable().default(null),
  })
  .prefault({});

const hydrationSchema = z
  .strictObject({
    /** History handed to a worker that holds nothing: at most this many tokens (4 characters each). */
    historyTokensMax: z.number().int().min(0).max(1_000_000).default(8_000),
    /** … and no older than this, days. */
    historyDaysMax: z.number().int().min(1).max(3_650).default(30),
  })
  .prefault({});

const guestSchema = z
  .strictObject({
    cpuKind: z.enum(["shared", "performance"]).default("shared"),
    cpus: z.number().int().min(1).max(16).default(1),
    /** Memory in MB, a multiple of 256. An OpenClaw gateway needs about 1.4 GB after some turns. */
    memoryMb: z.number().int().min(256).max(131_072).multipleOf(256).default(2_048),
  })
  .prefault({});

const providerSchema = z.strictObject({
  /** Only `fly` is supported; anything else is refused at use with `Unsupported provider '<kind>'`. */
  kind: z.string().min(1).default("fly"),
  /** Base URL of the Machines API, without /v1. */
  apiUrl: z.url().default("https://api.machines.dev"),
  /** Base URL of the image registry when it does not answer under the image's own host; doctor asks it. */
  registryUrl: z.url().nullable().default(null),
  appName: z.string().min(1),
  organizationSlug: z.string().min(1),
  /** Image by digest, for example registry.fly.io/app@sha256:…; tags are refused. */
  image: z
    .string()
    .regex(/@sha256:[0-9a-f]{64}$/, "expected an image by digest: <repository>@sha256:<64 hex>"),
  /** Tried in order when a region has no capacity. */
  regions: z.array(z.string().min(1)).min(1),
  guest: guestSchema,
  /** Only when asked for: a volume pins a machine to one host and is billed while unattached. */
  volume: z
    .strictObject({ sizeGb: z.number().int().min(1).max(500) })
    .nullable()
    .default(null),
  /** Plain environment of every machine (model, feature switches). Secrets go to the Fly app instead. */
  env: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/, "expected UPPER_CASE"), z.string()).default({}),
  /** Version of the last write of the app's secrets: machines are created only once they can see it. */
  minSecretsVersion: z.number().int().min(0).nullable().default(null),
});

const rolloutSchema = z
  .strictObject({
    /** Workers that run a new image before the rest do. */
    canaryWorkers: z.number().int().min(1).max(100).default(1),
    /** Or this share of the active workers, percent; the larger of both counts. */
    canaryPercent: z.number().min(0).max(100).default(0),
    /** Agents whose messages alone the canary serves, at most 8; empty means any. */
    canaryAgentKeys: z
      .array(z.string().min(1))
      .max(
        CANARY_AGENTS_MAX,
        `names more than ${CANARY_AGENTS_MAX} agents, the limit of one claim; leave it empty and set canaryWorkers or canaryPercent to try the image on everyone`,
      )
      .default([]),
    /** Workers replaced at the same time after the gate has passed. */
    replaceAtOnceMax: z.number().int().min(1).max(100).default(1),
    /** The canary must boot and answer its probe turn within this time, ms. */
    gateTimeoutMs: milliseconds(5 * SECOND, HOUR).default(5 * MINUTE),
    /** Real turns watched before promotion, when any arrive in time. */
    gateTurnsMin: z.number().int().min(0).max(1_000).default(3),
    /** How long to wait for those real turns, ms; an idle environment is promoted after it. */
    gateObserveMs: milliseconds(0, HOUR).default(30 * SECOND),
    /** Share of failed turns at which the rollout is rolled back. */
    failureRateMax: z.number().min(0).max(1).default(0.34),
  })
  .prefault({});

const spendSchema = z
  .strictObject({
    /** Machine-hours a UTC day may use; messages wait when it is reached. null: no limit. */
    machineHoursPerDayMax: z.number().positive().nullable().default(null),
  })
  .prefault({});

const retentionSchema = z
  .strictObject({
    /** Finished messages (done, cancelled), ms. */
    finishedMessageMs: milliseconds(0, 3_650 * DAY).default(7 * DAY),
    /** Dead letters, ms. */
    deadLetterMs: milliseconds(0, 3_650 * DAY).default(30 * DAY),
    /** Conversation history rows, ms. */
    historyMs: milliseconds(0, 3_650 * DAY).default(90 * DAY),
    /** Audit rows, ms. */
    auditMs: milliseconds(0, 3_650 * DAY).default(365 * DAY),
    /** Rows of stopped workers, ms. */
    stoppedWorkerMs: milliseconds(0, 3_650 * DAY).default(DAY),
    /** Decision log rows of the scaler, ms. */
    decisionMs: milliseconds(0, 3_650 * DAY).default(7 * DAY),
    /** Telegram update ids remembered for deduplication, ms; Telegram redelivers for 24 h. */
    updateIdMs: milliseconds(DAY, 3_650 * DAY).default(2 * DAY),
    /** Uploaded files of finished messages, ms; they go with their message if that goes earlier. */
    attachmentMs: milliseconds(0, 3_650 * DAY).default(7 * DAY),
  })
  .prefault({});

const telegramSchema = z
  .strictObject({
    /** Base URL of the Bot API. */
    apiUrl: z.url().default("https://api.telegram.org"),
    /** Route prefix of the webhook on the deployment's site URL. */
    pathPrefix: z
      .string()
      .regex(/^\/[A-Za-z0-9/_-]*[A-Za-z0-9_-]$/)
      .default("/agent-factory"),
    /** Route a message to the agent that its sender is bound to. */
    resolveAgentKeyFromBinding: z.boolean().default(true),
    /** Agent of senders without a binding. */
    fallbackAgentKey: z.string().min(1).default("default"),
    /** Refuse senders without a binding (they are told once). */
    requireBindingForTelegram: z.boolean().default(false),
  })
  .prefault({});

const configObject = z.strictObject({
  queue: queueSchema,
  retry: retrySchema,
  lease: leaseSchema,
  scaling: scalingSchema,
  drain: drainSchema,
  turn: turnSchema,
  hydration: hydrationSchema,
  provider: providerSchema,
  rollout: rolloutSchema,
  spend: spendSchema,
  retention: retentionSchema,
  telegram: telegramSchema,
});

/** Shape with every default filled in: what the backend stores and reads. */
export type RuntimeConfig = z.output<typeof configObject>;
/** What a stack may write: defaults may be left out. */
export type RuntimeConfigInput = z.input<typeof configObject>;

/** Rules between fields, each with the exact message a person sees. */
function crossFieldProblems(config: RuntimeConfig): Array<{ path: string[]; message: string }> {
  const problems: Array<{ path: string[]; message: string }> = [];
  const { lease, drain, retry, scaling, provider, queue } = config;
  if (lease.heartbeatIntervalMs * 3 >= lease.leaseMs) {
    problems.push({
      path: ["lease", "heartbeatIntervalMs"],
      message: `must be less than a third of lease.leaseMs (${lease.leaseMs}), so that two lost heartbeats do not lose the lease`,
    });
  }
  if (drain.drainTimeoutMs + 5 * SECOND > drain.killTimeoutMs) {
    problems.push({
      path: ["drain", "drainTimeoutMs"],
      message: `must be at least 5000 below drain.killTimeoutMs (${drain.killTimeoutMs}), so that a drain ends before the platform kills`,
    });
  }
  if (retry.baseDelayMs > retry.maxDelayMs) {
    problems.push({
      path: ["retry", "baseDelayMs"],
      message: `must not exceed retry.maxDelayMs (${retry.maxDelayMs})`,
    });
  }
  if (scaling.minWorkers > scaling.maxWorkers) {
    problems.push({
      path: ["scaling", "minWorkers"],
      message: `must not exceed scaling.maxWorkers (${scaling.maxWorkers})`,
    });
  }
  if (scaling.workerLostAfterMs <= lease.idleHeartbeatIntervalMs * 2) {
    problems.push({
      path: ["scaling", "workerLostAfterMs"],
      message: `must be more than twice lease.idleHeartbeatIntervalMs (${lease.idleHeartbeatIntervalMs}), so that one lost heartbeat does not end an idle worker`,
    });
  }
  if (queue.defaultPriority > queue.maxPriority) {
    problems.push({
      path: ["queue", "defaultPriority"],
      message: `must not exceed queue.maxPriority (${queue.maxPriority})`,
    });
  }
  if (scaling.warmPool.mode === "suspend" && provider.guest.memoryMb > 2_048) {
    problems.push({
      path: ["scaling", "warmPool", "mode"],
      message: `suspend needs provider.guest.memoryMb of at most 2048 (it is ${provider.guest.memoryMb}); use "stop"`,
    });
  }
  return problems;
}

/** The schema with its cross-field rules; `safeParse` reports every problem at once. */
export const runtimeConfigSchema = configObject.superRefine((config, ctx) => {
  for (const problem of crossFieldProblems(config)) {
    ctx.addIssue({ code: "custom", path: problem.path, message: problem.message });
  }
});

export type RuntimeConfigResult = { ok: true; config: RuntimeConfig } | { ok: false; problems: string[] };

/**
 * Parses a runtime config and reports all problems at once, one line each: `<field>: <what is wrong>`.
 * zod runs cross-field rules only when every field parses; both kinds are thus never mixed in one report.
 */
export function parseRuntimeConfig(input: unknown): RuntimeConfigResult {
  const result = runtimeConfigSchema.safeParse(input);
  if (result.success) return { ok: true, config: result.data };
  return {
    ok: false,
    problems: result.error.issues.map((issue) => `${issue.path.join(".") || "config"}: ${issue.message}`),
  };
}
