/**
 * A worker as the contract has it: it claims when its inbox shows a new wake-up and after each turn, until there
 * is no more; it never polls. Its network loses replies and repeats calls; its process stalls and dies.
 */
import type { Claim, Inbox } from "../../runtime/convex/validators.ts";
import type { Random } from "./random.ts";

/** `lease.idleHeartbeatIntervalMs`. */
const IDLE_BEAT_MS = 30_000;

type Turn = { claim: Claim; finishAt: number; beatAt: number; hung: boolean };

/** How the outside treats the worker. All zero: a good day. */
export type Faults = {
  loseReply: number;
  repeatCall: number;
  hang: number;
  failTurn: number;
  crash: number;
};

export const NO_FAULTS: Faults = { loseReply: 0, repeatCall: 0, hang: 0, failTurn: 0, crash: 0 };

export type Host = {
  random: Random;
  now(): number;
  faults(): Faults;
  /** Calls the backend as this worker; the oracle looks at every call and its result. */
  call(worker: SimWorker, path: string, args: Record<string, unknown>): Promise<unknown>;
  note(line: string): void;
};

export class SimWorker {
  readonly workerId: string;
  readonly credential: { workerId: string; token: string };
  alive = true;
  draining = false;
  turns: Turn[] = [];
  /** Claims whose turns are over for the backend, but whose worker may not know: it still tries. */
  zombies: Claim[] = [];
  readonly #host: Host;
  readonly #slots: number;
  #seenWake = 0;
  #wantsClaim = true;
  #claimKey: string | null = null;
  #claims = 0;
  #idleBeatAt = 0;

  constructor(host: Host, workerId: string, slots: number) {
    this.#host = host;
    this.workerId = workerId;
    this.credential = { workerId, token: `token-${workerId}` };
    this.#slots = slots;
  }

  /** When this worker would next do something by itself, ms. */
  nextAt(): number {
    if (!this.alive) return Number.POSITIVE_INFINITY;
    const times = this.turns.map((turn) => (turn.hung ? turn.beatAt : Math.min(turn.beatAt, turn.finishAt)));
    if (this.#mayClaim()) times.push(this.#host.now());
    return Math.min(this.#idleBeatAt, ...times);
  }

  async step(): Promise<void> {
    if (!this.alive) {
      await this.#actAsZombie();
      return;
    }
    await this.#readInbox();
    await this.#sayAlive();
    const due = this.turns.find((turn) => turn.beatAt <= this.#host.now() || this.#isFinished(turn));
    if (due !== undefined) await this.#progress(due);
    else if (this.#mayClaim()) await this.#claim();
    else await this.#actAsZombie();
  }

  crash(): void {
    this.alive = false;
    this.zombies.push(...this.turns.map((turn) => turn.claim));
    this.turns = [];
  }

  #mayClaim(): boolean {
    return (this.#wantsClaim || this.#claimKey !== null) && this.turns.length < this.#slots && !this.draining;
  }

  #isFinished(turn: Turn): boolean {
    return !turn.hung && turn.finishAt <= this.#host.now();
  }

  async #call(path: string, args: Record<string, unknown>): Promise<{ reply: unknown } | { lost: true }> {
    const { random } = this.#host;
    const faults = this.#host.faults();
    const reply = await this.#host.call(this, path, args);
    if (random.chance(faults.repeatCall)) await this.#host.call(this, path, args);
    return random.chance(faults.loseReply) ? { lost: true } : { reply };
  }

  async #readInbox(): Promise<void> {
    const inbox = (await this.#host.call(this, "worker:inbox", {})) as Inbox;
    if (inbox.wake !== this.#seenWake) {
      this.#seenWake = inbox.wake;
      this.#wantsClaim = true;
    }
    this.draining = inbox.draining;
    for (const messageId of inbox.cancelled) {
      const turn = this.turns.find(({ claim }) => claim.messageId === messageId);
      if (turn !== undefined) turn.finishAt = this.#host.now();
    }
    if (this.draining)
      for (const turn of this.turns) turn.finishAt = Math.min(turn.finishAt, this.#host.now() + 5_000);
  }

  /** An idle worker says that it lives: two small calls a minute, and nothing else. */
  async #sayAlive(): Promise<void> {
    if (this.#idleBeatAt > this.#host.now()) return;
    this.#idleBeatAt = this.#host.now() + IDLE_BEAT_MS;
    await this.#call("worker:heartbeat", {});
  }

  async #claim(): Promise<void> {
    const { random } = this.#host;
    this.#claimKey ??= `${this.workerId}-${(this.#claims += 1)}`;
    const outcome = await this.#call("worker:claim", { claimKey: this.#claimKey });
    if ("lost" in outcome) return; // Asked again later under the same key.
    this.#claimKey = null;
    const claim = outcome.reply as Claim | null;
    if (claim === null) {
      this.#wantsClaim = false;
      return;
    }
    const now = this.#host.now();
    this.turns.push({
      claim,
      finishAt: now + 500 + random.below(20_000),
      beatAt: now + claim.heartbeatIntervalMs,
      hung: random.chance(this.#host.faults().hang),
    });
    const { messageId, leaseId } = claim;
    await this.#call("worker:getHydrationBundle", { messageId, leaseId });
  }

  async #progress(turn: Turn): Promise<void> {
    const { messageId, leaseId } = turn.claim;
    if (this.#isFinished(turn)) {
      await this.#finish(turn);
      return;
    }
    turn.beatAt = this.#host.now() + turn.claim.heartbeatIntervalMs;
    const outcome = await this.#call("worker:heartbeat", { messageId, leaseId });
    if ("lost" in outcome || outcome.reply === true) return;
    this.#drop(turn);
    this.zombies.push(turn.claim);
  }

  async #finish(turn: Turn): Promise<void> {
    const { random } = this.#host;
    const { messageId, leaseId, payload } = turn.claim;
    const lease = { messageId, leaseId };
    this.#drop(turn);
    this.#wantsClaim = true;
    let outcome: { reply: unknown } | { lost: true };
    if (this.draining && random.chance(0.5)) {
      outcome = await this.#call("worker:release", { ...lease, reason: "drain" });
    } else if (random.chance(this.#host.faults().failTurn)) {
      const errorKind = random.chance(0.2) ? "permanent" : "retryable";
      outcome = await this.#call("worker:fail", { ...lease, errorMessage: "model away", errorKind });
    } else {
      const history = [{ role: "user", content: payload.messageText }];
      outcome = await this.#call("worker:complete", { ...lease, answer: { text: "answer" }, history });
    }
    if ("lost" in outcome) this.zombies.push(turn.claim);
    else this.#host.note(`${this.workerId} ended ${messageId}: ${JSON.stringify(outcome.reply)}`);
  }

  #drop(turn: Turn): void {
    this.turns = this.turns.filter((other) => other !== turn);
  }

  /** Late calls under leases that may be gone. */
  async #actAsZombie(): Promise<void> {
    const claim = this.zombies.pop();
    if (claim === undefined) return;
    const { messageId, leaseId, conversationId } = claim;
    const lease = { messageId, leaseId };
    const late: Array<[string, Record<string, unknown>]> = [
      ["worker:heartbeat", lease],
      ["worker:complete", { ...lease, answer: { text: "late" }, history: [] }],
      ["worker:fail", { ...lease, errorMessage: "late" }],
      ["worker:release", { ...lease, reason: "late" }],
      [
        "worker:appendConversationMessages",
        { ...lease, conversationId, messages: [{ role: "user", content: "late" }] },
      ],
    ];
    const [path, args] = this.#host.random.pick(late);
    await this.#host.call(this, path, args);
  }
}
