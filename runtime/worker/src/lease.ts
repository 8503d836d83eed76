/** One lease and the right to work under it: renewed by heartbeats, ended by the first thing that ends it. */
import type { Claim, LeaseRef } from "../../convex/validators.ts";
import type { WorkerBackend } from "./backend/backend.ts";

/** Why a turn must stop at once. */
export type TurnEndReason =
  /** Another worker may own the conversation now: nothing may be written any more. */
  | "lease_lost"
  /** A person or operator cancelled the message. */
  | "cancelled"
  /** The turn took longer than it may. */
  | "deadline"
  /** The drain's time is over: the message goes back, without an attempt spent. */
  | "drain";

export class TurnEnded extends Error {
  override name = "TurnEnded";
  readonly reason: TurnEndReason;
  constructor(reason: TurnEndReason) {
    super(`The turn was ended: ${reason}`);
    this.reason = reason;
  }
}

export interface LeaseKeeper {
  readonly ref: LeaseRef;
  /** Aborted with a {@link TurnEnded}. */
  readonly signal: AbortSignal;
  end(reason: TurnEndReason): void;
  /** Stops heartbeats and the deadline; call it once nothing is left to protect. */
  stop(): void;
}

export interface LeaseKeeperOptions {
  /** Called after each heartbeat, with whether it reached the backend. */
  onHeartbeat?: (reached: boolean) => void;
}

/** The backend renews no lease beyond the turn's time: the failure must arrive while the lease is still held. */
const DEADLINE_MARGIN_MS = 3_000;

/**
 * Keeps a lease alive from the moment of its claim.
 *
 * The worker's clock is never compared with the backend's: only durations are used. A lease whose heartbeats do
 * not get through is given up one interval before it can have expired, so that two workers never overlap.
 */
export function keepLease(
  backend: WorkerBackend,
  claim: Claim,
  claimedAt: number,
  options: LeaseKeeperOptions = {},
): LeaseKeeper {
  const ref: LeaseRef = { messageId: claim.messageId, leaseId: claim.leaseId };
  const controller = new AbortController();
  let renewedAt = claimedAt;
  let inFlight = false;

  const stop = (): void => {
    clearInterval(heartbeat);
    clearTimeout(deadline);
  };
  const end = (reason: TurnEndReason): void => {
    stop();
    if (!controller.signal.aborted) controller.abort(new TurnEnded(reason));
  };
  const beat = async (): Promise<void> => {
    const sentAt = performance.now();
    if (sentAt - renewedAt > claim.leaseMs - claim.heartbeatIntervalMs) return end("lease_lost");
    if (inFlight) return;
    inFlight = true;
    try {
      const held = await backend.heartbeat(ref);
      options.onHeartbeat?.(true);
      if (!held) return end("lease_lost");
      renewedAt = sentAt;
    } catch {
      // Unknown whether it arrived. The check above ends the turn in time if none gets through.
      options.onHeartbeat?.(false);
    } finally {
      inFlight = false;
    }
  };
  const heartbeat = setInterval(() => void beat(), claim.heartbeatIntervalMs);
  const margin = Math.min(DEADLINE_MARGIN_MS, claim.turnTimeoutMs / 10);
  const deadline = setTimeout(() => end("deadline"), claim.turnTimeoutMs - margin);
  return { ref, signal: controller.signal, end, stop };
}
