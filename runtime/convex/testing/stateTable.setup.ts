/**
 * The state table's two axes and its eyes: named states that a message may be in, events that may meet it there,
 * and a view of everything the queue keeps, so that one line says what an event changed.
 */
import { api, internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import type { Claim } from "../validators.ts";
import {
  addWorker,
  advance,
  complete,
  createWorld,
  enqueue,
  fail,
  mustClaim,
  release,
  type TestWorker,
  type World,
} from "./factory.setup.ts";

/** One message (the subject) of conversation `c1`, its holder `w1` and another worker `w2`. */
export type Scene = {
  t: World;
  holder: TestWorker;
  other: TestWorker;
  messageId: Id<"messageQueue">;
  /** The latest lease of the message; a made-up one when it never had any. */
  lease: Claim;
  /** The key under which the holder claimed it, or would. */
  claimKey: string;
};

const HOLDERS_KEY = "key-of-the-holder";
/** What the worker of an earlier attempt would still name. */
const STALE_LEASE = "lease-of-an-earlier-attempt";
const DESTINATION = { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: "9" } as const;

function arrive(t: World, externalMessageId: string): Promise<Id<"messageQueue">> {
  return enqueue(t, "c1", { payload: { externalMessageId }, destination: DESTINATION });
}

async function waiting(): Promise<Scene> {
  // Without jitter the same retry always comes back at the same time.
  const t = await createWorld({ retry: { jitterRatio: 0 } });
  const holder = await addWorker(t, "w1");
  const other = await addWorker(t, "w2");
  const messageId = await arrive(t, "u1");
  const lease: Claim = {
    messageId,
    conversationId: "c1",
    agentKey: "support",
    leaseId: "never-given",
    leaseExpiresAt: 0,
    leaseMs: 0,
    heartbeatIntervalMs: 0,
    turnTimeoutMs: 0,
    dedication: "none",
    attempt: 0,
    maxAttempts: 0,
    payload: { provider: "telegram", providerUserId: "7", messageText: "hello" },
  };
  return { t, holder, other, messageId, lease, claimKey: HOLDERS_KEY };
}

async function running(): Promise<Scene> {
  const scene = await waiting();
  const lease = await claimAs(scene, scene.holder, HOLDERS_KEY);
  if (lease === null) throw new Error("expected the holder to get the lease");
  // So that a renewal is a change.
  advance(1_000);
  return { ...scene, lease };
}

async function claimAs({ t }: Scene, { credential }: TestWorker, claimKey: string): Promise<Claim | null> {
  return await t.mutation(api.worker.claim, { credential, claimKey });
}

async function after(before: Promise<Scene>, act: (scene: Scene) => Promise<unknown>): Promise<Scene> {
  const scene = await before;
  await act(scene);
  return scene;
}

const cancel = ({ t, messageId }: Scene) => t.mutation(internal.factory.cancelMessage, { messageId });
const pause = ({ t }: Scene) => t.mutation(internal.factory.pauseConversation, { conversationId: "c1" });

/** Every state that a message may be in, each built by the calls that lead there. */
export const STATES = {
  "S1 queued (ready)": waiting,
  "S2 queued (delayed by a retry)": () => after(running(), (s) => fail(s.t, s.holder, s.lease)),
  "S3 queued (behind another turn)": async () => {
    const scene = await waiting();
    await mustClaim(scene.t, scene.holder);
    return { ...scene, messageId: await arrive(scene.t, "u2") };
  },
  "S4 queued (paused)": () => after(waiting(), pause),
  "S5 processing (live)": running,
  "S6 processing (expired)": () => after(running(), async () => advance(44_000)),
  "S7 processing (cancel requested)": () => after(running(), cancel),
  "S8 done": () => after(running(), (s) => complete(s.t, s.holder, s.lease)),
  "S9 dead_letter": () => after(running(), (s) => fail(s.t, s.holder, s.lease, "permanent")),
  "S10 cancelled": () => after(waiting(), cancel),
} satisfies Record<string, () => Promise<Scene>>;

export type StateName = keyof typeof STATES;

type Act = (scene: Scene) => Promise<unknown>;

/** The lease that a caller names: always for the subject. */
function stale({ lease, messageId }: Scene): Claim {
  return { ...lease, messageId, leaseId: STALE_LEASE };
}

function own({ lease, messageId }: Scene): Claim {
  return { ...lease, messageId };
}

/** The same event as the holder, under a lease of an earlier attempt, and by a worker that does not hold it. */
function fenced<Name extends string>(
  name: Name,
  act: (t: World, worker: TestWorker, lease: Claim) => Promise<unknown>,
): Record<Name | `${Name}(stale lease)` | `${Name}(another worker)`, Act> {
  const acts: Record<string, Act> = {
    [name]: (s) => act(s.t, s.holder, own(s)),
    [`${name}(stale lease)`]: (s) => act(s.t, s.holder, stale(s)),
    [`${name}(another worker)`]: (s) => act(s.t, s.other, own(s)),
  };
  return acts;
}

const checkLease = (t: World, { messageId, leaseId }: Claim) =>
  t.mutation(internal.queue.recovery.checkLease, { messageId, leaseId });

/** Every event that may meet it, by whomever. */
export const EVENTS = {
  claim: async (s) => briefClaim(s, await claimAs(s, s.other, "a-fresh-key")),
  "claim(same key again)": async (s) => briefClaim(s, await claimAs(s, s.holder, s.claimKey)),
  ...fenced("heartbeat", (t, { credential }, { messageId, leaseId }) =>
    t.mutation(api.worker.heartbeat, { credential, messageId, leaseId }),
  ),
  ...fenced("complete", complete),
  ...fenced("fail", fail),
  "fail(permanent)": (s) => fail(s.t, s.holder, own(s), "permanent"),
  ...fenced("release", release),
  ...fenced("append", (t, { credential }, { messageId, leaseId, conversationId }) =>
    t.mutation(api.worker.appendConversationMessages, {
      credential,
      messageId,
      leaseId,
      conversationId,
      messages: [{ role: "user", content: "more" }],
    }),
  ),
  "expiry check": (s) => checkLease(s.t, own(s)),
  "expiry check(stale lease)": (s) => checkLease(s.t, stale(s)),
  "expiry sweep": (s) => s.t.mutation(internal.queue.recovery.sweepLeases, {}),
  "worker lost": (s) =>
    s.t.mutation(internal.queue.recovery.recoverWorker, { workerId: "w1", reason: "gone" }),
  "worker lost(drain ran out)": (s) =>
    s.t.mutation(internal.queue.recovery.recoverWorker, { workerId: "w1", reason: "gone", planned: true }),
  "worker lost(another worker)": (s) =>
    s.t.mutation(internal.queue.recovery.recoverWorker, { workerId: "w2", reason: "gone" }),
  promote: (s) => s.t.mutation(internal.queue.promote.promoteMessage, { messageId: s.messageId }),
  "promote(due)": async (s) => {
    const message = await s.t.run((ctx) => ctx.db.get("messageQueue", s.messageId));
    advance(Math.max(0, (message?.dueAt ?? 0) - Date.now()));
    return await s.t.mutation(internal.queue.promote.promoteMessage, { messageId: s.messageId });
  },
  cancel,
  pause,
  resume: (s) => s.t.mutation(internal.factory.resumeConversation, { conversationId: "c1" }),
  replay: (s) => s.t.mutation(internal.factory.replayDeadLetters, { messageIds: [s.messageId] }),
  discard: (s) => s.t.mutation(internal.factory.discardDeadLetters, { messageIds: [s.messageId] }),
  "enqueue(duplicate)": async (s) => {
    const message = await s.t.run((ctx) => ctx.db.get("messageQueue", s.messageId));
    return (await arrive(s.t, message?.payload.externalMessageId ?? "")) === s.messageId ? "the same" : "new";
  },
  "enqueue(next message)": async (s) => ((await arrive(s.t, "u9")) === s.messageId ? "the same" : "new"),
} satisfies Record<string, Act>;

export type EventName = keyof typeof EVENTS;

function briefClaim({ messageId }: Scene, claim: Claim | null): string | null {
  if (claim === null) return null;
  return `${claim.messageId === messageId ? "leased" : "another leased"}, attempt ${claim.attempt}`;
}

const TABLES = [
  "conversations",
  "conversationHeads",
  "messageQueue",
  "queueCounters",
  "conversationMessages",
  "workers",
  "workerSignals",
  "outbox",
  "auditLog",
] as const;

/** Every row of every table that the queue writes, and what it has scheduled. Equal dumps: nothing changed. */
export async function dump({ t }: Scene): Promise<Record<string, unknown[]>> {
  return await t.run(async (ctx) => {
    const tables: Record<string, unknown[]> = {};
    for (const table of TABLES) tables[table] = await ctx.db.query(table).collect();
    // A claim that finds nothing has answered its wake-up: that is no change of the queue.
    const workers = await ctx.db.query("workers").collect();
    tables["workers"] = workers.map(({ wakesAnswered: _claims, ...row }) => row);
    tables["scheduled"] = await ctx.db.system.query("_scheduled_functions").collect();
    return tables;
  });
}

type Facts = Record<string, string | number>;

/** What people would tell each other about the scene. Numbers are compared as differences. */
export async function facts({ t, messageId }: Scene): Promise<Facts> {
  return await t.run(async (ctx) => {
    const message = await ctx.db.get("messageQueue", messageId);
    const head = await ctx.db.query("conversationHeads").first();
    const conversation = await ctx.db.query("conversations").first();
    if (message === null || conversation === null) throw new Error("the subject is gone");
    const { leaseExpiresAt } = message;
    const found: Facts = {
      message: message.status,
      attempts: message.attempts,
      lease: leaseExpiresAt === undefined ? "none" : `${leaseExpiresAt - Date.now()} ms`,
      abort: message.cancelRequestedAt === undefined ? "no" : "asked",
      wait: message.delayed ? "delayed" : "none",
      place: message.seq,
      head: head === null ? "none" : headFact(head, messageId),
      waiting: conversation.queuedCount,
      paused: conversation.pausedAt === undefined ? "no" : "yes",
      history: (await ctx.db.query("conversationMessages").collect()).length,
      audit: (await ctx.db.query("auditLog").collect()).length,
    };
    const count = (name: string) => {
      found[name] = Number(found[name] ?? 0) + 1;
    };
    for (const row of await ctx.db.query("messageQueue").collect()) {
      if (row._id !== messageId) count(`others ${row.status}`);
    }
    for (const row of await ctx.db.query("outbox").collect()) count(`told ${row.reason}`);
    for (const { name } of await ctx.db.system.query("_scheduled_functions").collect()) {
      if (name.startsWith("queue/")) count(`timer ${name.split(":")[1]}`);
    }
    for (const worker of await ctx.db.query("workers").collect()) {
      found[`${worker.workerId} load`] = worker.load;
      found[`${worker.workerId} done`] = worker.turnsDone;
      found[`${worker.workerId} failed`] = worker.turnsFailed;
    }
    for (const signals of await ctx.db.query("workerSignals").collect()) {
      found[`${signals.workerId} woken`] = signals.wake;
      found[`${signals.workerId} aborts`] = signals.cancelled.length;
    }
    return found;
  });
}

function headFact(head: Doc<"conversationHeads">, messageId: Id<"messageQueue">): string {
  const holder = head.state === "leased" ? ` by ${head.workerId}` : "";
  return `${head.message === messageId ? "" : "another "}${head.state}${holder}`;
}

/** Applies an event. `change`: every fact that differs; numbers by how much. */
export async function apply(event: EventName, scene: Scene): Promise<{ reply: unknown; change: string[] }> {
  const before = await facts(scene);
  const reply = await EVENTS[event](scene);
  const now = await facts(scene);
  const change: string[] = [];
  for (const name of Object.keys({ ...before, ...now })) {
    const [was, is] = [before[name] ?? 0, now[name] ?? 0];
    if (was === is) continue;
    if (typeof was === "string") change.push(`${name} ${was} → ${is}`);
    else change.push(`${name} ${Number(is) > was ? "+" : ""}${Number(is) - was}`);
  }
  return { reply, change };
}
