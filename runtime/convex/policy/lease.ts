/** Who may act for a message, and until when. Only the backend's time counts. */
import type { MessageStatus } from "../validators.ts";

export type LeaseFields = {
  status: MessageStatus;
  leaseId?: string | undefined;
  leaseExpiresAt?: number | undefined;
  workerId?: string | undefined;
};

export type Fence =
  { holds: true } | { holds: false; why: "not_processing" | "another_lease" | "another_worker" | "expired" };

/**
 * The fence of every write of a turn. A lease that has run out holds no more, recovered or not: otherwise what
 * a late call may do would depend on when the recovery happened to run.
 */
export function checkFence(
  message: LeaseFields,
  caller: { leaseId: string; workerId: string },
  now: number,
): Fence {
  if (message.status !== "processing") return { holds: false, why: "not_processing" };
  if (message.leaseId !== caller.leaseId) return { holds: false, why: "another_lease" };
  if (message.workerId !== caller.workerId) return { holds: false, why: "another_worker" };
  if (isExpired(message, now)) return { holds: false, why: "expired" };
  return { holds: true };
}

/** True for a lease whose time is over. A processing message without an expiry is a broken row: recover it. */
export function isExpired(message: LeaseFields, now: number): boolean {
  return message.status === "processing" && (message.leaseExpiresAt ?? 0) <= now;
}

/** What a turn may take beyond its own time-out before heartbeats stop renewing it, ms: abort, snapshot, call. */
export const TURN_WRAP_UP_MS = 60_000;

/**
 * New expiry of a renewed lease, or null when the turn has had its time: a worker whose turn hangs while its
 * heartbeat goes on would hold the conversation for ever.
 */
export function renewedExpiry(
  lease: { claimedAt: number },
  policy: { leaseMs: number; turnTimeoutMs: number },
  now: number,
): number | null {
  const latest = lease.claimedAt + policy.turnTimeoutMs + TURN_WRAP_UP_MS;
  return now >= latest ? null : Math.min(latest, now + policy.leaseMs);
}
