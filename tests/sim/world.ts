/** What all parts of a run share: one backend, its oracle, one clock, one source of randomness, one trace. */
import type { Claim } from "../../runtime/convex/validators.ts";
import { Backend } from "./backend.ts";
import { Oracle } from "./oracle.ts";
import { type Random, seededRandom } from "./random.ts";
import { type Faults, type Host, NO_FAULTS, type SimWorker } from "./simWorker.ts";

export const START = 1_800_000_000_000;

export class World implements Host {
  readonly random: Random;
  readonly backend = new Backend();
  readonly oracle = new Oracle(this.backend);
  readonly trace: string[] = [];
  clock = START;
  calls = 0;
  #faults: Faults;
  /** How likely a scheduled job is lost. */
  dropJobs: number;

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
    this.dropJobs = some(0.05);
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

  /** From here on a good day. */
  stopFaults(): void {
    this.#faults = NO_FAULTS;
    this.dropJobs = 0;
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
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
