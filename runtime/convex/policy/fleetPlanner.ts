/** One planning run over the fleet: what it may take, what it may make, and the counts that its decisions change. */
import { earlier } from "./earlier.ts";
import type { FleetFacts, FleetStep, FleetWorker, SpecRole } from "./fleetFacts.ts";
import { isResting, type WorkerState } from "./machineStates.ts";

/** Suspended before stopped, and the most recently used first: its caches are warmest. */
export function byReadiness(a: FleetWorker, b: FleetWorker): number {
  const rank = (worker: FleetWorker): number => (worker.machineState === "suspended" ? 0 : 1);
  return rank(a) - rank(b) || (b.warmSince ?? 0) - (a.warmSince ?? 0) || (a.workerId < b.workerId ? -1 : 1);
}

const byPatience = (a: FleetWorker, b: FleetWorker): number =>
  patienceOf(a) - patienceOf(b) || (a.workerId < b.workerId ? -1 : 1);
const patienceOf = ({ wayBack }: FleetWorker): number =>
  wayBack?.how === "await" ? wayBack.until : Infinity;

export class Planner {
  readonly steps: FleetStep[] = [];
  private readonly taken = new Set<string>();
  private occupied: number;
  /** Capacity that the decisions of this run have brought. */
  gained = 0;
  /** When the first of those that are waited for should rest, ms. */
  awaitedUntil: number | null = null;
  readonly facts: FleetFacts;

  constructor(facts: FleetFacts) {
    this.facts = facts;
    this.occupied = facts.workers.filter((worker) => worker.state !== "stopped").length + facts.orphans;
  }

  /** Workers in these states that no earlier decision of this run has taken. */
  pick(
    states: readonly WorkerState[],
    accepts: (worker: FleetWorker) => boolean = () => true,
  ): FleetWorker[] {
    return this.facts.workers.filter(
      (worker) => states.includes(worker.state) && !this.taken.has(worker.workerId) && accepts(worker),
    );
  }

  hasRoom(): boolean {
    return this.occupied < this.facts.maxWorkers;
  }

  make(spec: "target" | "stable", canary: boolean, prewarm: boolean): void {
    this.occupied += 1;
    if (!prewarm && (!canary || this.facts.canariesServeAll)) this.gained += 1;
    this.steps.push({ do: "new", spec, canary, prewarm });
  }

  /** Takes a machine that there is, instead of making one. */
  private take(worker: FleetWorker, how: "start" | "recall" | "await" | "serve"): void {
    const { workerId, wayBack } = worker;
    this.taken.add(workerId);
    this.gained += 1;
    if (how !== "await") this.steps.push({ do: how, workerId });
    else if (wayBack?.how === "await") {
      this.awaitedUntil = earlier(this.awaitedUntil, wayBack.until);
      if (!worker.awaited) this.steps.push({ do: how, workerId, until: wayBack.until });
    }
  }

  /** An active worker drains; one that has not served yet, or rests, simply ends. */
  retire(worker: FleetWorker, to: "warm" | "end", why: string): void {
    this.taken.add(worker.workerId);
    if (worker.state === "active") this.steps.push({ do: "drain", workerId: worker.workerId, to, why });
    else this.steps.push({ do: "end", workerId: worker.workerId, why });
  }

  /**
   * Machines that there are and that would rest, in the order in which they can serve: those that do not know of
   * their rest, those at rest, those about to be, those that boot for the pool.
   */
  private *spare(spec: SpecRole): Generator<[FleetWorker, "start" | "recall" | "await" | "serve"]> {
    const ours = (worker: FleetWorker): boolean => worker.spec === spec;
    const back = (how: "recall" | "await"): FleetWorker[] =>
      this.pick(["draining"], (worker) => ours(worker) && worker.wayBack?.how === how).sort(byPatience);
    const rests = ({ machineState }: FleetWorker): boolean =>
      machineState === null || isResting(machineState);
    const { blockedBy } = this.facts;
    for (const worker of back("recall")) yield [worker, "recall"];
    if (blockedBy === null) {
      const resting = this.pick(["warm"], (worker) => ours(worker) && rests(worker)).sort(byReadiness);
      for (const worker of resting) yield [worker, "start"];
      for (const worker of back("await")) yield [worker, "await"];
    }
    for (const worker of this.pick(["creating"], (other) => ours(other) && other.prewarm))
      yield [worker, "serve"];
  }

  /** Takes what there is, then makes new ones, until `count` more serve; returns how many could not be had. */
  grow(count: number, spec: "target" | "stable", canary: boolean): { short: number; because: string | null } {
    let short = Math.max(0, count);
    const { blockedBy, maxWorkers } = this.facts;
    // A canary proves that the new image boots: a machine that there is proves nothing.
    for (const [worker, how] of canary ? [] : this.spare(spec)) {
      if (short === 0) break;
      this.take(worker, how);
      short -= 1;
    }
    if (short > 0 && blockedBy !== null) return { short, because: blockedBy };
    while (short > 0 && this.hasRoom()) {
      this.make(spec, canary, false);
      short -= 1;
    }
    return { short, because: short > 0 ? `ceiling ${maxWorkers} reached` : null };
  }
}
