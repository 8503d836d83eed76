/**
 * How the fleet moves towards what is wanted: which workers to start, make, drain or end. Ceiling: every row
 * that is not over counts, resting machines too, and so do machines of ours without a row, so that maxWorkers
 * holds however the provider's answers were lost.
 */
import { isResting, type MachineState, type WorkerState } from "./machineStates.ts";
import type { WarmTarget } from "./warmPool.ts";

/**
 * target: the spec in force. stable: the one before, while a rollout of the target has not ended. other: any
 * further one. In steady operation there is only the target.
 */
export type SpecRole = "target" | "stable" | "other";
/** steady: no rollout. gating: canaries prove the target. replacing: the target has passed. */
export type FleetMode = "steady" | "gating" | "replacing";

export interface FleetWorker {
  workerId: string;
  state: WorkerState;
  spec: SpecRole;
  load: number;
  /** active and not under suspicion. */
  healthy: boolean;
  idleUntil: number | null;
  warmSince: number | null;
  machineState: MachineState | null;
  retireTo: "warm" | "end" | null;
  prewarm: boolean;
}

export interface FleetFacts {
  workers: readonly FleetWorker[];
  mode: FleetMode;
  desired: number;
  maxWorkers: number;
  /** Machines of ours without a row, as last listed. */
  orphans: number;
  warm: WarmTarget;
  /** With a rollout: canaries wanted, and whether they serve everyone (else they do not count as capacity). */
  canariesWanted: number;
  canariesServeAll: boolean;
  replaceAtOnceMax: number;
  /** Why nothing may be made or started now; null: nothing stands in the way. */
  blockedBy: string | null;
  /** The day's machine time is used up: whatever is idle goes, whatever works finishes and goes. */
  spendReached: boolean;
  /** The stack is being destroyed: whatever is idle or resting ends, whatever works finishes and ends. */
  retired: boolean;
}

export type FleetStep =
  | { do: "start"; workerId: string }
  | { do: "new"; spec: "target" | "stable"; canary: boolean; prewarm: boolean }
  /** Claims nothing more; finishes its turns; then rests or ends. */
  | { do: "drain"; workerId: string; to: "warm" | "end"; why: string }
  | { do: "end"; workerId: string; why: string };

export interface FleetPlan {
  steps: FleetStep[];
  /** Workers wanted that could not be had now, and why. */
  short: number;
  shortBecause: string | null;
  /** When an idle surplus worker's time is up, ms. */
  checkAt: number | null;
}

/** Machines made ahead of need per pass: the pool fills gently. */
const PREPARE_PER_PASS = 2;

/** Suspended before stopped, and the most recently used first: its caches are warmest. */
function byReadiness(a: FleetWorker, b: FleetWorker): number {
  const rank = (worker: FleetWorker): number => (worker.machineState === "suspended" ? 0 : 1);
  return rank(a) - rank(b) || (b.warmSince ?? 0) - (a.warmSince ?? 0) || (a.workerId < b.workerId ? -1 : 1);
}

const byLoad = (a: FleetWorker, b: FleetWorker): number =>
  a.load - b.load ||
  (a.idleUntil ?? Infinity) - (b.idleUntil ?? Infinity) ||
  (a.workerId < b.workerId ? -1 : 1);

/** One planning run; holds the counts that its decisions change. */
class Planner {
  readonly steps: FleetStep[] = [];
  private readonly taken = new Set<string>();
  private occupied: number;
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
    this.steps.push({ do: "new", spec, canary, prewarm });
  }

  start(worker: FleetWorker): void {
    this.taken.add(worker.workerId);
    this.steps.push({ do: "start", workerId: worker.workerId });
  }

  /** An active worker drains; one that has not served yet, or rests, simply ends. */
  retire(worker: FleetWorker, to: "warm" | "end", why: string): void {
    this.taken.add(worker.workerId);
    if (worker.state === "active") this.steps.push({ do: "drain", workerId: worker.workerId, to, why });
    else this.steps.push({ do: "end", workerId: worker.workerId, why });
  }

  /** Starts warm workers, then makes new ones, until `count` more serve; returns how many could not be had. */
  grow(count: number, spec: "target" | "stable", canary: boolean): { short: number; because: string | null } {
    let short = Math.max(0, count);
    const { blockedBy, maxWorkers } = this.facts;
    if (short > 0 && blockedBy !== null) return { short, because: blockedBy };
    const resting = this.pick(
      ["warm"],
      (worker) => worker.spec === spec && (worker.machineState === null || isResting(worker.machineState)),
    ).sort(byReadiness);
    // A canary proves that the new image boots: a resumed machine proves nothing.
    for (const worker of canary ? [] : resting) {
      if (short === 0) break;
      this.start(worker);
      short -= 1;
    }
    while (short > 0 && this.hasRoom()) {
      this.make(spec, canary, false);
      short -= 1;
    }
    return { short, because: short > 0 ? `ceiling ${maxWorkers} reached` : null };
  }
}

const isUsable = (worker: FleetWorker): boolean =>
  worker.state === "creating" ? !worker.prewarm : worker.healthy;

/** Room for a canary at the ceiling: one resting, else idle, else least loaded worker makes way. */
function makeWay(planner: Planner): void {
  if (planner.pick(["draining", "stopping"]).length > 0) return;
  const resting = planner.pick(["warm"], (worker) => worker.spec !== "target")[0];
  const serving = planner.pick(["active"], (worker) => worker.spec !== "target").sort(byLoad)[0];
  const chosen = resting ?? serving;
  if (chosen !== undefined) planner.retire(chosen, "end", "makes way for a canary at the ceiling");
}

/** Replaces workers of the old spec, at most replaceAtOnceMax at a time, never below what is wanted. */
function replaceOutdated(planner: Planner): void {
  const { desired, replaceAtOnceMax } = planner.facts;
  const outdated = (worker: FleetWorker): boolean => worker.spec !== "target";
  let allowance = replaceAtOnceMax - planner.pick(["draining", "stopping"], outdated).length;
  const booting = planner.pick(["creating"], (worker) => !outdated(worker)).length;
  const current = planner.pick(
    ["creating", "active"],
    (worker) => !outdated(worker) && isUsable(worker),
  ).length;
  // First the replacement, then the retirement, so that nobody waits for the change.
  const surge = Math.min(desired - current, replaceAtOnceMax - booting);
  if (surge > 0 && planner.pick(["active"], outdated).length > 0) planner.grow(surge, "target", false);

  for (const worker of planner.pick(["warm", "creating"], outdated)) {
    if (allowance <= 0) return;
    planner.retire(worker, "end", "runs the former image");
    allowance -= 1;
  }
  let serving = planner.pick(["active"], isUsable).length;
  // At the ceiling nothing can come before something goes; otherwise the replacement that boots is waited for.
  const stuck =
    !planner.hasRoom() &&
    booting === 0 &&
    !planner.steps.some((step) => step.do === "new" || step.do === "start");
  for (const worker of planner.pick(["active"], outdated).sort(byLoad)) {
    if (allowance <= 0) return;
    if (serving - 1 < desired && !stuck) return;
    planner.retire(worker, "end", "runs the former image");
    allowance -= 1;
    serving -= 1;
  }
}

/** Plans the fleet's next moves. Deterministic: the same facts give the same steps. */
export function planFleet(facts: FleetFacts, now: number): FleetPlan {
  const planner = new Planner(facts);
  const { mode, desired } = facts;

  if (facts.retired) {
    for (const worker of planner.pick(["warm", "creating", "active"])) {
      planner.retire(worker, "end", "the stack is being destroyed");
    }
    return {
      steps: planner.steps,
      short: desired,
      shortBecause: desired > 0 ? facts.blockedBy : null,
      checkAt: null,
    };
  }

  // Specs that are neither wanted nor the fallback have no business in the fleet.
  const unwanted = (worker: FleetWorker): boolean =>
    mode === "steady" ? worker.spec !== "target" : worker.spec === "other";
  for (const worker of planner.pick(["warm", "creating", "active"], unwanted)) {
    planner.retire(worker, "end", "runs an image that was rolled back or replaced");
  }

  if (facts.spendReached) {
    let kept = planner.pick(["warm"]).length;
    kept += planner.pick(["draining"], (worker) => worker.retireTo === "warm").length;
    for (const worker of planner.pick(["active"])) {
      const rests = kept < facts.warm.keep;
      planner.retire(worker, rests ? "warm" : "end", "the day's machine-hours are used up");
      if (rests) kept += 1;
    }
    const demanded = desired;
    return {
      steps: planner.steps,
      short: demanded,
      shortBecause: demanded > 0 ? facts.blockedBy : null,
      checkAt: null,
    };
  }

  if (mode === "gating") {
    const canaries = planner.pick(["creating", "active"], (worker) => worker.spec === "target").length;
    const { short } = planner.grow(facts.canariesWanted - canaries, "target", true);
    if (short > 0 && facts.blockedBy === null) makeWay(planner);
  }
  if (mode === "replacing") replaceOutdated(planner);

  const regular = mode === "gating" ? "stable" : "target";
  const counts = (worker: FleetWorker): boolean =>
    isUsable(worker) && (mode !== "gating" || worker.spec === "stable" || facts.canariesServeAll);
  const usable = planner.pick(["creating", "active"], counts);
  const added = planner.steps.filter(
    (step) => step.do === "start" || (step.do === "new" && (!step.canary || facts.canariesServeAll)),
  ).length;
  const { short, because } = planner.grow(desired - usable.length - added, regular, false);

  // Surplus: idle workers whose time is up rest while the pool has room, and end otherwise.
  let surplus = usable.length - desired;
  let checkAt: number | null = null;
  let pool =
    planner.pick(["warm"], (worker) => worker.spec === regular).length +
    planner.pick(["draining"], (worker) => worker.retireTo === "warm").length;
  const idle = planner
    .pick(
      ["active"],
      (worker) => worker.load === 0 && counts(worker) && !(mode === "gating" && worker.spec === "target"),
    )
    .sort((a, b) => (a.idleUntil ?? Infinity) - (b.idleUntil ?? Infinity));
  for (const worker of idle) {
    if (surplus <= 0) break;
    if (worker.idleUntil === null) continue;
    if (worker.idleUntil > now) {
      checkAt = worker.idleUntil;
      break;
    }
    const rests = pool < facts.warm.keep && worker.spec === regular;
    planner.retire(worker, rests ? "warm" : "end", "idle");
    if (rests) pool += 1;
    surplus -= 1;
  }

  const resting = planner.pick(["warm"], (worker) => worker.spec === regular).sort(byReadiness);
  for (const worker of resting.slice(facts.warm.keep))
    planner.retire(worker, "end", "more warm workers than wanted");

  if (facts.warm.prepare > 0 && facts.blockedBy === null && mode !== "gating") {
    const preparing = planner.pick(["creating"], (worker) => worker.prewarm).length;
    let missing = facts.warm.prepare - pool - preparing - Math.max(0, surplus);
    for (let made = 0; missing > 0 && made < PREPARE_PER_PASS && planner.hasRoom(); made++) {
      planner.make(regular, false, true);
      missing -= 1;
    }
  }
  return { steps: planner.steps, short, shortBecause: because, checkAt };
}
