import { conflict, notFound } from "../errors.ts";
import { leaseNonce } from "../ids.ts";
import type { Lease, MachineRecord } from "./record.ts";

/** Header by which the holder of a lease shows it. */
export const NONCE_HEADER = "fly-machine-lease-nonce";
const TTL_SECONDS_MAX = 24 * 3_600;

/** The lease in force, or null; an expired one counts as none. */
export function currentLease(record: MachineRecord, nowMs: number): Lease | null {
  return record.lease !== null && record.lease.expiresAtMs > nowMs ? record.lease : null;
}

/** Refuses a write to a machine that someone else holds a lease on (409). */
export function requireLease(record: MachineRecord, nonce: string | null, nowMs: number): void {
  const lease = currentLease(record, nowMs);
  if (lease === null || lease.nonce === nonce) return;
  throw conflict(
    `machine ID ${record.id} lease currently held by ${lease.owner}, expires at ${new Date(lease.expiresAtMs).toISOString()}`,
  );
}

export interface LeaseRequest {
  ttlSeconds: number;
  description: string;
  owner: string;
  nonce: string | null;
}

/** The lease a request gets: a new one, or the held one prolonged when its nonce is shown. */
export function takeLease(record: MachineRecord, request: LeaseRequest, nowMs: number): Lease {
  requireLease(record, request.nonce, nowMs);
  const held = currentLease(record, nowMs);
  return {
    nonce: held?.nonce ?? leaseNonce(),
    owner: request.owner,
    description: request.description,
    expiresAtMs: nowMs + Math.min(request.ttlSeconds, TTL_SECONDS_MAX) * 1_000,
    version: record.instanceId,
  };
}

/** The lease that this nonce may release; 404 when there is none, 409 when it is another's. */
export function releasableLease(record: MachineRecord, nonce: string | null, nowMs: number): Lease {
  const lease = currentLease(record, nowMs);
  if (lease === null) throw notFound("lease not found");
  requireLease(record, nonce, nowMs);
  return lease;
}
