import type { Doc } from "../_generated/dataModel.js";
import type { LifecycleLimits, WorkerFacts } from "../policy/lifecycle.ts";
import { type MachineState, readMachineState } from "../policy/machineStates.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";

/** A worker's row as the lifecycle's rules see it. */
export function workerFacts(worker: Doc<"workers">, listed: MachineState | null): WorkerFacts {
  return {
    workerId: worker.workerId,
    state: worker.state,
    machineId: worker.machineId ?? null,
    listed,
    load: worker.load,
    createdAt: worker.createdAt,
    bootStartedAt: worker.bootStartedAt ?? null,
    readyAt: worker.readyAt ?? null,
    lastSeenAt: Math.max(worker.lastHeartbeatAt ?? 0, worker.readyAt ?? 0, worker.lastClaimAt ?? 0),
    idleUntil: worker.scheduledShutdownAt ?? null,
    drainDeadlineAt: worker.drainDeadlineAt ?? null,
    retireTo: worker.retireTo ?? null,
    leaving: worker.leaving === true,
    awaitedUntil: worker.awaitedUntil ?? null,
    missingSince: worker.missingSince ?? null,
    suspectSince: worker.suspectSince ?? null,
    warmSince: worker.warmSince ?? null,
    orderedAt: worker.orderedAt ?? null,
    begunAt: worker.op?.begunAt ?? null,
    attempts: worker.opAttempts ?? 0,
    notBefore: worker.notBefore ?? 0,
  };
}

/** Last state that the provider reported, null before the first report. */
export function lastMachineState(worker: Doc<"workers">): MachineState | null {
  return worker.machineState === undefined ? null : readMachineState(worker.machineState);
}

/** The lifecycle's times, from the config. */
export function lifecycleLimits(config: RuntimeConfig, silenceCountsFrom: number): LifecycleLimits {
  const { scaling, lease } = config;
  return {
    bootTimeoutMs: scaling.bootTimeoutMs,
    missingMachineGraceMs: scaling.missingMachineGraceMs,
    // One heartbeat before its leases run out: at least two are missed by then, and nobody waits for the third.
    lostAfterMs: {
      working: Math.min(scaling.workerLostAfterMs, lease.leaseMs - lease.heartbeatIntervalMs),
      idle: scaling.workerLostAfterMs,
    },
    suspectForMs: Math.ceil(lease.idleHeartbeatIntervalMs * 1.5),
    stoppedTtlMs: scaling.warmPool.stoppedTtlMs,
    silenceCountsFrom,
  };
}
