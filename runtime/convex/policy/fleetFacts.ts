/** What the fleet's rules know, and what they may want. */
import type { WayBack } from "./lifecycle.ts";
import type { MachineState, WorkerState } from "./machineStates.ts";
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
  /** On its way to rest: how it can serve again (policy/lifecycle.ts). */
  wayBack: WayBack;
  /** On its way to rest, and an earlier plan has asked for it. */
  awaited: boolean;
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
  /** It was to rest and does not know yet: it serves on. */
  | { do: "recall"; workerId: string }
  /** Nothing is made in its place: it is started as soon as it rests. */
  | { do: "await"; workerId: string; until: number }
  /** It boots for the warm pool: once it has, it serves instead of resting. */
  | { do: "serve"; workerId: string }
  | { do: "new"; spec: "target" | "stable"; canary: boolean; prewarm: boolean }
  /** Claims nothing more; finishes its turns; then rests or ends. */
  | { do: "drain"; workerId: string; to: "warm" | "end"; why: string }
  | { do: "end"; workerId: string; why: string };

export interface FleetPlan {
  steps: FleetStep[];
  /** Workers wanted that could not be had now, and why. */
  short: number;
  shortBecause: string | null;
  /** When an idle surplus worker's time is up, or a worker's to come to rest that is waited for, ms. */
  checkAt: number | null;
}
