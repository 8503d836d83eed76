/**
 * How the fleet moves towards what is wanted: which workers to start, make, drain or end. Ceiling: every row
 * that is not over counts, resting machines too, and so do machines of ours without a row, so that maxWorkers
 * holds however the provider's answers were lost.
 */
import { earlier } from "./earlier.ts";
import type { FleetFacts, FleetPlan, FleetWorker } from "./fleetFacts.ts";
import { byReadiness, Planner } from "./fleetPlanner.ts";

/** Machines made ahead of need per pass: the pool fills gently. */
const PREPARE_PER_PASS = 2;

const byLoad = (a: FleetWorker, b: FleetWorker): number =>
  a.load - b.load ||
  (a.idleUntil ?? Infinity) - (b.idleUntil ?? Infinity) ||
  (a.workerId < b.workerId ? -1 : 1);

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
  const stuck = !planner.hasRoom() && booting === 0 && planner.gained === 0;
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
  const { short, because } = planner.grow(desired - usable.length - planner.gained, regular, false);

  // Surplus: idle workers whose time is up rest while the pool has room, and end otherwise.
  let surplus = usable.length - desired;
  let checkAt = planner.awaitedUntil;
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
      checkAt = earlier(checkAt, worker.idleUntil);
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
