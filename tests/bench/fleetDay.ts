/**
 * One day of a fleet, second by second: the policies that the backend runs (scaling, fleet, warm pool) decide,
 * and machines that boot and resume in given times obey. No database and no provider: what they cost is measured
 * on real processes (tests/bench/scaler.ts).
 */
import { planFleet } from "../../runtime/convex/policy/fleet.ts";
import type { FleetWorker } from "../../runtime/convex/policy/fleetFacts.ts";
import type { RuntimeConfig } from "../../runtime/convex/policy/runtimeConfig.ts";
import { REST_PATIENCE_MS } from "../../runtime/convex/policy/lifecycle.ts";
import { wantedWorkers } from "../../runtime/convex/policy/scaling.ts";
import { warmTarget } from "../../runtime/convex/policy/warmPool.ts";
import type { Turn } from "./dayTraffic.ts";

const SECOND = 1_000;
const DAY_S = 86_400;

export interface MachineTimes {
  /** From the order to ready, ms. */
  bootMs: number;
  resumeMs: number;
  /** From the order to rest to its being at rest, which the machine goes on being billed for, ms. */
  restMs: number;
}

export interface DayFigures {
  /** Time in state started, what Fly bills, s. */
  machineSeconds: number;
  machinesMax: number;
  creates: number;
  starts: number;
  /** Machines that served on, or were started as soon as they rested, instead of new ones being made. */
  kept: number;
  /** From a message's arrival, or the end of the turn before it, to the start of its turn, ms, ascending. */
  waitsMs: number[];
}

interface Machine extends FleetWorker {
  /** When its boot or resume will be over, ms; null: not under way. */
  readyAt: number | null;
  /** When it will have come to rest, ms; null: not under way. */
  restsAt: number | null;
  lastClaimAt: number;
  runningSince: number | null;
  /** When each of its turns ends, and whose it is. */
  turns: Array<{ endsAt: number; conversation: number }>;
}

/** @param midnight of the simulated day, ms since the epoch: windows of the warm pool go by it. */
export function simulateDay(
  traffic: readonly Turn[],
  scaling: RuntimeConfig["scaling"],
  times: MachineTimes,
  midnight: number,
): DayFigures {
  const figures: DayFigures = {
    machineSeconds: 0,
    machinesMax: 0,
    creates: 0,
    starts: 0,
    kept: 0,
    waitsMs: [],
  };
  const machines: Machine[] = [];
  const waiting = new Map<number, Turn[]>();
  const running = new Set<number>();
  const freeSince = new Map<number, number>();
  let made = 0;
  let next = 0;
  let changed = true;
  /** When the plan asked to look again, ms. */
  let lookAt = Infinity;

  const stopBilling = (machine: Machine, now: number): void => {
    if (machine.runningSince !== null) figures.machineSeconds += (now - machine.runningSince) / SECOND;
    machine.runningSince = null;
  };
  const rest = (machine: Machine, now: number): void => {
    if (machine.restsAt === null || machine.restsAt > now) return;
    stopBilling(machine, now);
    if (machine.awaited) changed = true;
    machine.state = "warm";
    machine.restsAt = null;
    machine.awaited = false;
    machine.wayBack = null;
    machine.warmSince = now;
    machine.machineState = scaling.warmPool.mode === "suspend" ? "suspended" : "stopped";
  };
  const claim = (now: number): void => {
    for (const [conversation, turns] of waiting) {
      const [turn] = turns;
      if (turn === undefined || running.has(conversation)) continue;
      const [machine] = machines
        .filter((candidate) => candidate.state === "active" && candidate.load < scaling.jobsPerWorker)
        .sort((a, b) => a.load - b.load);
      if (machine === undefined) return;
      turns.shift();
      running.add(conversation);
      figures.waitsMs.push(now - Math.max(turn.at, freeSince.get(conversation) ?? 0));
      machine.load += 1;
      machine.idleUntil = null;
      machine.lastClaimAt = now;
      machine.turns.push({ endsAt: now + turn.turnMs, conversation });
      if (turns.length === 0) waiting.delete(conversation);
    }
  };
  const settle = (now: number): void => {
    for (const machine of machines) {
      for (const turn of machine.turns.filter(({ endsAt }) => endsAt <= now)) {
        running.delete(turn.conversation);
        freeSince.set(turn.conversation, turn.endsAt);
        machine.turns = machine.turns.filter((other) => other !== turn);
        machine.load -= 1;
        changed = true;
      }
      if (machine.readyAt !== null && machine.readyAt <= now) {
        machine.readyAt = null;
        machine.state = "active";
        machine.healthy = true;
        machine.machineState = "started";
        machine.lastClaimAt = now;
        changed = true;
      }
      if (machine.state === "active" && machine.load === 0 && machine.idleUntil === null)
        machine.idleUntil = machine.lastClaimAt + scaling.idleTimeoutMs;
      rest(machine, now);
      const restsSince = machine.warmSince ?? now;
      if (machine.state === "warm" && now - restsSince >= scaling.warmPool.stoppedTtlMs)
        machine.state = "stopped";
    }
  };
  const plan = (now: number): void => {
    const due = [...waiting.keys()].filter((conversation) => !running.has(conversation)).length;
    const { desired } = wantedWorkers({ due, running: running.size }, scaling);
    const { steps, checkAt } = planFleet(
      {
        workers: machines,
        mode: "steady",
        desired,
        maxWorkers: scaling.maxWorkers,
        orphans: 0,
        warm: warmTarget(scaling.warmPool, midnight + now),
        canariesWanted: 0,
        canariesServeAll: true,
        replaceAtOnceMax: 1,
        blockedBy: null,
        spendReached: false,
        retired: false,
      },
      now,
    );
    lookAt = checkAt ?? Infinity;
    for (const step of steps) {
      const machine =
        "workerId" in step ? machines.find(({ workerId }) => workerId === step.workerId) : undefined;
      if (step.do === "new") {
        figures.creates += 1;
        machines.push({
          workerId: `w${++made}`,
          state: "creating",
          spec: "target",
          load: 0,
          healthy: false,
          idleUntil: null,
          warmSince: null,
          machineState: "starting",
          retireTo: null,
          wayBack: null,
          awaited: false,
          restsAt: null,
          prewarm: step.prewarm,
          readyAt: now + times.bootMs,
          lastClaimAt: now,
          runningSince: now,
          turns: [],
        });
      } else if (machine === undefined) continue;
      else if (step.do === "start") {
        figures.starts += 1;
        const resumes = machine.machineState === "suspended";
        machine.state = "creating";
        machine.warmSince = null;
        machine.readyAt = now + (resumes ? times.resumeMs : times.bootMs);
        machine.runningSince = now;
      } else if (step.do === "await") {
        figures.kept += 1;
        machine.awaited = true;
      } else if (step.do === "drain" && step.to === "warm") {
        machine.state = "draining";
        machine.retireTo = "warm";
        machine.wayBack = { how: "await", until: now + REST_PATIENCE_MS };
        machine.restsAt = now + times.restMs;
        machine.healthy = false;
        machine.idleUntil = null;
        rest(machine, now);
      } else {
        stopBilling(machine, now);
        machine.state = "stopped";
      }
    }
  };

  // Past midnight until the last turn and idle time are over, so that all of the day's cost is counted.
  for (let second = 0; second < 2 * DAY_S; second++) {
    const now = second * SECOND;
    for (let turn = traffic[next]; turn !== undefined && turn.at <= now; turn = traffic[next]) {
      waiting.set(turn.conversation, [...(waiting.get(turn.conversation) ?? []), turn]);
      next += 1;
      changed = true;
    }
    settle(now);
    claim(now);
    if (changed || now >= lookAt || now % scaling.reconcileIntervalMs === 0) plan(now);
    changed = false;
    for (let index = machines.length - 1; index >= 0; index--)
      if (machines[index]?.state === "stopped") machines.splice(index, 1);
    const started = machines.filter((machine) => machine.runningSince !== null).length;
    figures.machinesMax = Math.max(figures.machinesMax, started);
    if (second > DAY_S && next === traffic.length && started === 0) break;
  }
  figures.waitsMs.sort((a, b) => a - b);
  return figures;
}

/**
 * What one who knows the whole day in advance would spend: every turn runs at once, on as few machines as hold
 * all that run; each machine is booted just in time and kept through a gap exactly when that is cheaper than
 * another boot.
 */
export function oracleMachineSeconds(
  traffic: readonly Turn[],
  jobsPerWorker: number,
  times: MachineTimes,
): number {
  // Turns of one conversation follow each other, whoever serves them.
  const freeAt = new Map<number, number>();
  const edges = traffic.flatMap((turn): Array<[number, number]> => {
    const startsAt = Math.max(turn.at, freeAt.get(turn.conversation) ?? 0);
    freeAt.set(turn.conversation, startsAt + turn.turnMs);
    return [
      [startsAt, 1],
      [startsAt + turn.turnMs, -1],
    ];
  });
  edges.sort(([a, stepA], [b, stepB]) => a - b || stepA - stepB);
  let turnsNow = 0;
  let spentMs = 0;
  /** Of the k-th machine: since when it is needed (null: it is not), and until when it was. */
  const levels: Array<{ since: number | null; until: number | null }> = [];
  for (const [at, step] of edges) {
    turnsNow += step;
    const needed = Math.ceil(turnsNow / jobsPerWorker);
    while (levels.length < needed) levels.push({ since: null, until: null });
    for (const [index, level] of levels.entries()) {
      if (index < needed && level.since === null) {
        const gapMs = level.until === null ? Infinity : at - level.until;
        spentMs += Math.min(gapMs, times.bootMs);
        level.since = at;
      } else if (index >= needed && level.since !== null) {
        spentMs += at - level.since;
        level.since = null;
        level.until = at;
      }
    }
  }
  return spentMs / SECOND;
}
