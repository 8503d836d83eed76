/** One seeded run: faults for a while, invariants checked after every step; then a good day until all is done. */
import { createHash } from "node:crypto";
import { sha256Hex } from "../../runtime/convex/secrets/digest.ts";
import type { Claim } from "../../runtime/convex/validators.ts";
import { Backend } from "./backend.ts";
import { brokenInvariants } from "./invariants.ts";
import { Oracle } from "./oracle.ts";
import { type Random, seededRandom } from "./random.ts";
import { type Faults, type Host, NO_FAULTS, SimWorker } from "./simWorker.ts";

export type RunResult = {
  seed: number;
  /** Empty: the run held every invariant and everything drained. */
  problems: string[];
  trace: string[];
  calls: number;
  messages: number;
  maxReads: Record<string, number>;
};

const START = 1_800_000_000_000;
const STEPS = 140;
const DRAIN_STEPS_MAX = 4_000;
/** A good day may last this long, ms: everything must have drained by then. */
const DRAIN_MS_MAX = 45 * 60_000;
const CONVERSATIONS = ["a", "b", "c", "d"] as const;
const WORKERS = 3;
const SLOTS = 2;

type Dead = { worker: SimWorker; noticeAt: number };

class Simulation implements Host {
  readonly random: Random;
  readonly backend = new Backend();
  readonly oracle = new Oracle(this.backend);
  readonly trace: string[] = [];
  clock = START;
  calls = 0;
  #messages = 0;
  #externalIds = 0;
  #workers: SimWorker[] = [];
  #ghosts: SimWorker[] = [];
  #dead: Dead[] = [];
  #made = 0;
  #faults: Faults;
  #dropJobs: number;
  #sweepAt = START + 60_000;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    const { random } = this;
    const quiet = random.chance(0.2);
    const some = (most: number): number => (quiet ? 0 : random.next() * most);
    this.#faults = {
      loseReply: some(0.2),
      repeatCall: some(0.2),
      hang: some(0.1),
      failTurn: some(0.4),
      crash: some(0.06),
    };
    this.#dropJobs = some(0.05);
  }

  now(): number {
    return this.clock;
  }

  faults(): Faults {
    return this.#faults;
  }

  note(line: string): void {
    this.trace.push(`${this.clock - START} ${line}`);
  }

  get messages(): number {
    return this.#messages;
  }

  async call(worker: SimWorker, path: string, args: Record<string, unknown>): Promise<unknown> {
    const held = this.oracle.holdsLease(worker.workerId, args);
    const known = this.backend.db.all("workers").find((row) => row["workerId"] === worker.workerId);
    const repeated = path === "worker:claim" && this.#heldUnder(worker.workerId, args["claimKey"]);
    this.calls += 1;
    let reply: unknown;
    try {
      reply = await this.backend.call(path, { credential: worker.credential, ...args });
    } catch (error) {
      // A worker that the backend has stopped is refused; nobody else may be.
      if (known?.["tokenHash"] === undefined && String(error).includes("Unknown worker")) return null;
      throw error;
    }
    this.oracle.noteUsage(path);
    this.oracle.fencedCall(path, worker.workerId, args, held, reply);
    if (path === "worker:claim" && reply !== null && !repeated) this.oracle.claimed(reply as Claim);
    if (path !== "worker:inbox")
      this.note(`${worker.workerId} ${path} ${JSON.stringify(args)} -> ${brief(reply)}`);
    return reply;
  }

  #heldUnder(workerId: string, claimKey: unknown): boolean {
    return this.backend.db
      .all("messageQueue")
      .some((row) => row["workerId"] === workerId && row["claimKey"] === claimKey);
  }

  async setUp(): Promise<void> {
    await this.backend.call("config/apply:applyRuntimeConfig", {
      config: {
        provider: {
          appName: "app",
          organizationSlug: "org",
          image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
          regions: ["fra"],
        },
        scaling: { jobsPerWorker: SLOTS },
        turn: { turnTimeoutMs: 60_000 },
      },
      expectedRevision: null,
      owner: "agent-factory/sim",
      actor: "sim",
    });
    await this.backend.call("hydration/agents:configureAgent", {
      agentKey: "support",
      version: "1",
      soulMd: "You help.",
      skills: [],
      secretsRef: [],
      enabled: true,
    });
    for (let i = 0; i < WORKERS; i += 1) await this.#startWorker();
  }

  async #startWorker(): Promise<void> {
    this.#made += 1;
    const worker = new SimWorker(this, `w${this.#made}`, SLOTS);
    const { workerId, token } = worker.credential;
    const tokenHash = await sha256Hex(token);
    await this.backend.db.transact(async () => {
      this.backend.db.insert("workers", {
        workerId,
        state: "active",
        tokenHash,
        image: "image",
        configRevision: 1,
        load: 0,
        slots: SLOTS,
        hasFreeSlot: true,
        canary: false,
        createdAt: this.clock,
        readyAt: this.clock,
        lastHeartbeatAt: this.clock,
        turnsDone: 0,
        turnsFailed: 0,
      });
      this.backend.db.insert("workerSignals", {
        workerId,
        wake: 1,
        draining: false,
        cancelled: [],
        tokenHash,
      });
    });
    this.#workers.push(worker);
    this.note(`${workerId} is ready`);
  }

  /** What the scaler does about a machine that is gone: the row ends, leases come back, another one is made. */
  async #replaceDead(force: boolean): Promise<void> {
    for (const dead of this.#dead.filter(({ noticeAt }) => force || noticeAt <= this.clock)) {
      this.#dead = this.#dead.filter((other) => other !== dead);
      const { workerId } = dead.worker;
      const row = this.backend.db.all("workers").find((doc) => doc["workerId"] === workerId);
      const signals = this.backend.db.all("workerSignals").find((doc) => doc["workerId"] === workerId);
      if (row === undefined || signals === undefined) continue;
      await this.backend.db.transact(async () => {
        this.backend.db.patch("workers", row._id, {
          state: "stopped",
          hasFreeSlot: false,
          tokenHash: undefined,
          stoppedAt: this.clock,
        });
        this.backend.db.delete("workerSignals", signals._id);
      });
      await this.backend.call("queue/recovery:recoverWorker", { workerId, reason: "machine gone" });
      this.note(`${workerId} was found dead`);
      await this.#startWorker();
    }
  }

  async #arrive(): Promise<void> {
    const { random } = this;
    const conversationId = random.pick(CONVERSATIONS);
    const scheduled = random.chance(0.1);
    const again = this.#externalIds > 0 && random.chance(0.15);
    const external = again ? random.below(this.#externalIds) : this.#externalIds++;
    const wakesBefore = this.#wakes();
    const args = {
      // An id belongs to one conversation, as a chat's update does.
      conversationId: CONVERSATIONS[external % CONVERSATIONS.length] ?? conversationId,
      agentKey: "support",
      payload: {
        provider: "telegram",
        providerUserId: "7",
        messageText: "hi",
        externalMessageId: `u${external}`,
      },
      destination: { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: "9" },
      priority: random.below(101),
      maxAttempts: 1 + random.below(4),
      ...(scheduled ? { scheduledFor: this.clock + random.below(60_000) } : {}),
    };
    const messageId = await this.backend.call<string>("queue/enqueue:enqueue", args);
    this.calls += 1;
    this.oracle.noteUsage("queue/enqueue:enqueue");
    if (!again) this.#messages += 1;
    this.oracle.accepted(messageId, args.conversationId, !scheduled);
    if (this.#wakes() > wakesBefore + 1)
      this.oracle.problems.push("wake: an enqueue woke more than one worker");
    this.note(`enqueue u${external} in ${args.conversationId} -> ${messageId}`);
  }

  #wakes(): number {
    return this.backend.db.all("workerSignals").reduce((sum, row) => sum + Number(row["wake"]), 0);
  }

  /** Due jobs, in any order; late ones stay for later, and with bad luck one never runs. */
  async #runJobs(): Promise<void> {
    const due = [...this.backend.jobs.values()].filter((job) => job.dueAt <= this.clock);
    for (const job of due) {
      if (this.#dropJobs > 0 && this.random.chance(0.1)) continue;
      this.backend.jobs.delete(job.id);
      if (job.name === "scaler/loop:tick") await this.#tick();
      if (!this.backend.isKnown(job.name)) continue;
      if (this.random.chance(this.#dropJobs)) {
        this.note(`lost ${job.name}`);
        continue;
      }
      this.note(`run ${job.name} ${JSON.stringify(job.args)}`);
      await this.backend.call(job.name, job.args);
    }
    if (this.clock >= this.#sweepAt) {
      this.#sweepAt = this.clock + 60_000;
      this.note(`sweep ${JSON.stringify(await this.backend.call("queue/sweep:sweepQueue"))}`);
    }
  }

  /** The scaler itself is not simulated here (tests/scaler does): its tick only takes the timer. */
  async #tick(): Promise<void> {
    for (const timer of this.backend.db.all("scalerTimer")) {
      await this.backend.db.transact(async () =>
        this.backend.db.patch("scalerTimer", timer._id, { nextTickAt: null, lastTickAt: this.clock }),
      );
    }
  }

  async #operate(): Promise<void> {
    const { random, backend } = this;
    const conversationId = random.pick(CONVERSATIONS);
    const exists = backend.db.all("conversations").some((row) => row["conversationId"] === conversationId);
    const act = random.pick(["pause", "resume", "cancel", "replay", "discard", "drain"] as const);
    this.note(`operator: ${act}`);
    if (act === "pause" && exists) await backend.call("queue/pause:pauseConversation", { conversationId });
    if (act === "resume" && exists) await backend.call("queue/pause:resumeConversation", { conversationId });
    const messages = backend.db.all("messageQueue");
    if (act === "cancel" && messages.length > 0) {
      await backend.call("queue/cancel:cancelMessage", { messageId: random.pick(messages)._id });
    }
    if (act === "replay") {
      for (const message of messages)
        if (message["status"] === "dead_letter") this.oracle.replayed(message._id);
      await backend.call("queue/deadLetters:replayDeadLetters", {});
    }
    if (act === "discard" && random.chance(0.3))
      await backend.call("queue/deadLetters:discardDeadLetters", {});
    if (act === "drain" && this.#workers.length > 0) await this.#drain(random.pick(this.#workers));
  }

  /** A planned end: the worker finishes or releases; it is replaced when its process has ended. */
  async #drain(worker: SimWorker): Promise<void> {
    if (!worker.alive || worker.draining) return;
    const { workerId } = worker;
    const row = this.backend.db.all("workers").find((doc) => doc["workerId"] === workerId);
    const signals = this.backend.db.all("workerSignals").find((doc) => doc["workerId"] === workerId);
    if (row === undefined || signals === undefined) return;
    await this.backend.db.transact(async () => {
      this.backend.db.patch("workers", row._id, { state: "draining", hasFreeSlot: false });
      this.backend.db.patch("workerSignals", signals._id, {
        draining: true,
        drainDeadlineAt: this.clock + 60_000,
      });
    });
    worker.draining = true;
  }

  #loseSome(): void {
    for (const worker of this.#workers) {
      const drained = worker.draining && worker.turns.length === 0 && this.random.chance(0.3);
      if (!worker.alive || !(drained || this.random.chance(this.#faults.crash))) continue;
      worker.crash();
      this.#workers = this.#workers.filter((other) => other !== worker);
      this.#ghosts.push(worker);
      this.#dead.push({ worker, noticeAt: this.clock + this.random.below(120_000) });
      this.note(`${worker.workerId} ${drained ? "left" : "crashed"}`);
    }
  }

  #check(): void {
    this.oracle.problems.push(...brokenInvariants(this.backend));
  }

  get failed(): boolean {
    return this.oracle.problems.length > 0;
  }

  async faultyPhase(): Promise<void> {
    const { random } = this;
    for (let step = 0; step < STEPS && !this.failed; step += 1) {
      this.clock += random.chance(0.05) ? random.below(60_000) : random.below(3_000);
      await this.#runJobs();
      this.#loseSome();
      await this.#replaceDead(false);
      const dice = random.next();
      if (dice < 0.25) await this.#arrive();
      else if (dice < 0.31) await this.#operate();
      else if (dice < 0.36 && this.#ghosts.length > 0) await random.pick(this.#ghosts).step();
      else if (this.#workers.length > 0) await random.pick(this.#workers).step();
      this.#check();
    }
  }

  async goodDay(): Promise<void> {
    if (this.failed) return;
    this.note("faults stop");
    this.#faults = NO_FAULTS;
    this.#dropJobs = 0;
    await this.#replaceDead(true);
    for (const { conversationId } of this.backend.db.all("conversations")) {
      await this.backend.call("queue/pause:resumeConversation", { conversationId });
    }
    const until = this.clock + DRAIN_MS_MAX;
    for (let step = 0; step < DRAIN_STEPS_MAX && !this.failed; step += 1) {
      await this.#runJobs();
      this.#loseSome();
      await this.#replaceDead(true);
      for (const worker of this.#workers) await worker.step();
      this.#check();
      if (this.oracle.lost().length === 0) break;
      const next = this.#nextEventAt();
      if (next > until) break;
      this.clock = Math.max(this.clock + 1, next);
    }
    for (const id of this.oracle.lost()) this.oracle.problems.push(`lost: ${id} never ended`);
  }

  #nextEventAt(): number {
    const times = [this.#sweepAt];
    for (const job of this.backend.jobs.values()) times.push(job.dueAt);
    for (const worker of this.#workers) times.push(worker.nextAt());
    return Math.min(...times);
  }
}

function hashNow(data: BufferSource): ArrayBuffer {
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : data;
  return new Uint8Array(createHash("sha256").update(new Uint8Array(bytes)).digest()).buffer;
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** Runs one seed. Everything in it, time and randomness included, follows from the seed. */
export async function simulate(seed: number): Promise<RunResult> {
  const realNow = Date.now;
  const realRandom = Math.random;
  const realDigest = crypto.subtle.digest.bind(crypto.subtle);
  const simulation = new Simulation(seed);
  Date.now = () => simulation.clock;
  Math.random = () => simulation.random.next();
  // Node's digest crosses a thread pool, which would be most of a run; the same hash, computed here.
  crypto.subtle.digest = async (_algorithm, data) => hashNow(data);
  try {
    await simulation.setUp();
    await simulation.faultyPhase();
    await simulation.goodDay();
  } catch (error) {
    simulation.oracle.problems.push(
      `threw: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  } finally {
    Date.now = realNow;
    Math.random = realRandom;
    crypto.subtle.digest = realDigest;
  }
  return {
    seed,
    problems: simulation.oracle.problems.slice(0, 20),
    trace: simulation.trace,
    calls: simulation.calls,
    messages: simulation.messages,
    maxReads: simulation.oracle.maxReads,
  };
}
