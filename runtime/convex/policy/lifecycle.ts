/**
 * The next step of one worker, from its row, its machine and the clock. The table of machineStates.ts says what
 * a pair of states means; the times here bound every wait. The fleet's needs are policy/fleet.ts's business.
 */
import { cellOf, isRunning, type MachineState, type WorkerState } from "./machineStates.ts";

/** A provider may still list the former state for a moment after it took an order, ms. */
const SETTLE_MS = 5_000;
/**
 * A rest takes a provider seconds, a boot from nothing tens of them: one that is wanted again is waited for so long
 * from its order on, ms. Beyond it something is wrong with that machine, and another one is made.
 */
export const REST_PATIENCE_MS = 10_000;
/** How often the same order is given before the worker is given up. */
export const ORDER_ATTEMPTS_MAX = 5;

/** What a decision may know of a worker; times in ms since the epoch. */
export interface WorkerFacts {
  workerId: string;
  state: WorkerState;
  machineId: string | null;
  /** From this pass's listing; null when this pass did not list. */
  listed: MachineState | null;
  load: number;
  createdAt: number;
  bootStartedAt: number | null;
  readyAt: number | null;
  /** Latest sign of life: heartbeat, ready report or claim. */
  lastSeenAt: number;
  idleUntil: number | null;
  drainDeadlineAt: number | null;
  retireTo: "warm" | "end" | null;
  /** Its process ends by itself, whatever is decided: it was told to drain, or has said goodbye. */
  leaving: boolean;
  /** Until when somebody waits for it to rest, to start it again. */
  awaitedUntil: number | null;
  missingSince: number | null;
  suspectSince: number | null;
  warmSince: number | null;
  /** When the provider took the order to rest or to destroy. */
  orderedAt: number | null;
  /** Begun call whose outcome is unknown. */
  begunAt: number | null;
  /** Orders of the present step that did not succeed. */
  attempts: number;
  notBefore: number;
}

export interface LifecycleLimits {
  bootTimeoutMs: number;
  missingMachineGraceMs: number;
  /** Silence after which a working and an idle worker count as lost, ms. */
  lostAfterMs: { working: number; idle: number };
  /** How long an idle worker's silence is watched before it is believed, ms. */
  suspectForMs: number;
  stoppedTtlMs: number;
  /** Silence before this time says nothing: the backend was away. */
  silenceCountsFrom: number;
}

export type WorkerStep =
  | { do: "create" | "start" | "rest" | "destroy" | "verify" }
  /** Seen for the first time since it was asked for: record the machine and that it boots. */
  | { do: "adopt" }
  /** It has come to rest and may be started again. */
  | { do: "rested" }
  /** The row is over; its machine is gone or never was. */
  | { do: "close"; reason: string; bootFailed: boolean }
  /** Ended without being told, or (planned) did not end when told: recover its leases, destroy its machine. */
  | { do: "lose"; reason: string; bootFailed: boolean; planned: boolean }
  | { do: "note_missing" | "note_found" | "suspect" | "clear_suspect" }
  /** Nothing now; look again at checkAt (null: only when something happens). */
  | { do: "wait"; checkAt: number | null };

const wait = (checkAt: number | null): WorkerStep => ({ do: "wait", checkAt });
const lose = (worker: WorkerFacts, reason: string, planned = false): WorkerStep => ({
  do: "lose",
  reason,
  planned,
  bootFailed: worker.state === "creating" && worker.readyAt === null,
});
const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;

/** The state to reason with when this pass did not list: what our own records imply. */
function impliedState(worker: WorkerFacts): MachineState {
  switch (worker.state) {
    case "creating":
      if (worker.machineId === null) return "missing";
      return worker.bootStartedAt === null ? "stopped" : "starting";
    case "active":
    case "draining":
    case "stopping":
      return "started";
    case "warm":
      return "stopped";
    case "stopped":
      return "missing";
  }
}

/**
 * How a worker that is on its way to rest can serve again; null when it cannot be counted on.
 * recall: nobody has told it or its provider anything, so that it runs on as if nothing had been decided. Never after
 * an attempt whose outcome is unknown: it may yet suspend the machine in the midst of a turn.
 * await: the order was taken and cannot be taken back; it can be started as soon as it rests, expected before `until`.
 */
export type WayBack = { how: "recall" } | { how: "await"; until: number } | null;

/** @param worker with the machine's last reported state as `listed`, however old: it may show an order's effect. */
export function wayBack(worker: WorkerFacts, now: number): WayBack {
  if (worker.state !== "draining" || worker.retireTo !== "warm" || worker.load > 0) return null;
  if (worker.orderedAt !== null) {
    // An order that is given again begins a rest anew, but not the time that somebody waits for it.
    const until = worker.awaitedUntil ?? worker.orderedAt + REST_PATIENCE_MS;
    return now < until ? { how: "await", until } : null;
  }
  const untold = worker.begunAt === null && worker.attempts === 0 && !worker.leaving;
  const machine = worker.listed ?? impliedState(worker);
  return untold && machine !== "other" && cellOf("draining", machine) === "drain" ? { how: "recall" } : null;
}

function stepOfSilence(worker: WorkerFacts, limits: LifecycleLimits, now: number): WorkerStep {
  const from = Math.max(worker.lastSeenAt, limits.silenceCountsFrom);
  if (worker.load > 0) {
    const lostAt = from + limits.lostAfterMs.working;
    if (now >= lostAt)
      return lose(worker, `no heartbeat for ${seconds(now - from)} with ${worker.load} turns running`);
    return wait(lostAt);
  }
  if (worker.suspectSince !== null) {
    if (worker.lastSeenAt > worker.suspectSince) return { do: "clear_suspect" };
    const lostAt = worker.suspectSince + limits.suspectForMs;
    return now >= lostAt
      ? lose(worker, `no heartbeat for ${seconds(now - worker.lastSeenAt)}`)
      : wait(lostAt);
  }
  // An idle worker is not watched by the clock, so that idling costs nothing: who looks, looks twice.
  return now >= from + limits.lostAfterMs.idle ? { do: "suspect" } : wait(null);
}

function stepOfMissing(worker: WorkerFacts, limits: LifecycleLimits, now: number): WorkerStep {
  if (worker.machineId === null && worker.state === "active") {
    // It came up before the answer to its create did: it lives as long as it beats, whatever a listing lacks.
    return stepOfSilence(worker, limits, now);
  }
  if (worker.machineId === null) {
    // Never known to exist. A create that is still under way may yet make it: wait for the grace.
    const until = (worker.begunAt ?? 0) + limits.missingMachineGraceMs;
    if (worker.begunAt !== null && now < until) return wait(until);
    return { do: "close", reason: "its machine was never made", bootFailed: false };
  }
  if (worker.orderedAt !== null) return { do: "verify" };
  if (worker.missingSince === null) return { do: "note_missing" };
  const believedAt = worker.missingSince + limits.missingMachineGraceMs;
  return now >= believedAt ? { do: "verify" } : wait(believedAt);
}

/** The next step of a worker. Pure; the caller holds the row while it acts on the answer. */
export function nextWorkerStep(worker: WorkerFacts, limits: LifecycleLimits, now: number): WorkerStep {
  if (worker.state === "stopped") return wait(null);
  // The outcome of a begun call is unknown until a listing shows it.
  if (worker.begunAt !== null && worker.listed === null) return wait(now);
  const machine = worker.listed ?? impliedState(worker);
  const bootTimeoutAt = (worker.bootStartedAt ?? worker.createdAt) + limits.bootTimeoutMs;

  if (worker.listed !== null && machine !== "missing") {
    const bootUnseen = worker.state === "creating" && worker.bootStartedAt === null;
    if (worker.machineId === null || (bootUnseen && isRunning(machine))) return { do: "adopt" };
    if (worker.missingSince !== null) return { do: "note_found" };
  }
  const order = (step: WorkerStep): WorkerStep => (now < worker.notBefore ? wait(worker.notBefore) : step);

  switch (cellOf(worker.state, machine)) {
    case "nothing":
    case "orphan":
      return wait(null);
    case "create":
      if (worker.machineId !== null) return stepOfMissing(worker, limits, now);
      if (worker.attempts >= ORDER_ATTEMPTS_MAX) {
        const until = (worker.begunAt ?? 0) + limits.missingMachineGraceMs;
        if (now < until) return wait(until);
        return { do: "close", reason: `${worker.attempts} creates brought no machine`, bootFailed: false };
      }
      return order({ do: "create" });
    case "boot":
      if (worker.bootStartedAt === null) {
        if (worker.attempts >= ORDER_ATTEMPTS_MAX) return lose(worker, "its machine does not start");
        return order({ do: "start" });
      }
      if (now < worker.bootStartedAt + SETTLE_MS) return wait(worker.bootStartedAt + SETTLE_MS);
      return lose(worker, `its process ended while booting (machine ${machine})`);
    case "wait":
      if (worker.state === "creating") {
        if (now >= bootTimeoutAt)
          return lose(worker, `not ready ${seconds(limits.bootTimeoutMs)} after its start`);
        return wait(bootTimeoutAt);
      }
      if (worker.state === "stopping") return order({ do: "verify" });
      if (worker.state === "draining" && worker.drainDeadlineAt !== null && now >= worker.drainDeadlineAt) {
        return lose(worker, "its drain reached the deadline", true);
      }
      return wait(worker.drainDeadlineAt);
    case "serve":
      return stepOfSilence(worker, limits, now);
    case "missing":
      return stepOfMissing(worker, limits, now);
    case "died": {
      const since = Math.max(worker.readyAt ?? 0, worker.bootStartedAt ?? 0);
      if (now < since + SETTLE_MS) return wait(since + SETTLE_MS);
      return lose(worker, `its process ended (machine ${machine})`);
    }
    case "drain":
      if (worker.load === 0) {
        if (worker.orderedAt !== null && worker.listed === null) return order({ do: "verify" });
        return order({ do: worker.retireTo === "warm" ? "rest" : "destroy" });
      }
      if (worker.drainDeadlineAt !== null && now >= worker.drainDeadlineAt) {
        return lose(worker, "its drain reached the deadline", true);
      }
      return wait(worker.drainDeadlineAt);
    case "drained":
      // A process that ended with turns in hand did not drain: its leases are taken back.
      if (worker.load > 0) return lose(worker, `its process ended during the drain (machine ${machine})`);
      return worker.retireTo === "warm" ? { do: "rested" } : order({ do: "destroy" });
    case "end":
      if (worker.machineId === null) return stepOfMissing(worker, limits, now);
      // Accepted, and this pass has no newer word: a 404 is the proof, a listing would only repeat itself.
      if (worker.orderedAt !== null && worker.listed === null) return order({ do: "verify" });
      return order({ do: "destroy" });
    case "rest":
      if (worker.warmSince !== null && now < worker.warmSince + SETTLE_MS)
        return wait(worker.warmSince + SETTLE_MS);
      return order(worker.attempts >= ORDER_ATTEMPTS_MAX ? { do: "destroy" } : { do: "rest" });
    case "keep": {
      const until = (worker.warmSince ?? worker.createdAt) + limits.stoppedTtlMs;
      return now >= until ? order({ do: "destroy" }) : wait(until);
    }
    case "gone":
      return {
        do: "close",
        reason:
          worker.state === "stopping" || worker.orderedAt !== null
            ? "destroyed"
            : `its machine is ${machine}`,
        bootFailed: worker.state === "creating" && worker.readyAt === null,
      };
  }
}
