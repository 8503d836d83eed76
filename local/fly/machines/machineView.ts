import type { MachineStore } from "./machineStore.ts";
import type { Lease, MachineEvent, MachineRecord } from "./record.ts";

const EVENTS_SHOWN = 20;
const iso = (ms: number): string => new Date(ms).toISOString();

export const eventView = (event: MachineEvent): Record<string, unknown> => ({ ...event });

export const leaseView = (lease: Lease): Record<string, unknown> => ({
  nonce: lease.nonce,
  owner: lease.owner,
  description: lease.description,
  expires_at: Math.floor(lease.expiresAtMs / 1_000),
  version: lease.version,
});

export interface ViewOptions {
  /** `summary=true` leaves the config out. */
  summary?: boolean;
  includeLease?: boolean;
  /** Shown once, to the call that took the lease. */
  nonce?: string | undefined;
}

/** A machine as the API shows it. */
export function machineView(
  record: MachineRecord,
  store: MachineStore,
  options: ViewOptions = {},
): Record<string, unknown> {
  return {
    id: record.id,
    name: record.name,
    state: record.state,
    region: record.region,
    instance_id: record.instanceId,
    version: record.instanceId,
    private_ip: record.privateIp,
    image_ref: record.imageRef,
    host_status: "ok",
    cordoned: record.cordoned,
    created_at: iso(record.createdAtMs),
    updated_at: iso(record.updatedAtMs),
    checks: [],
    events: store.events(record.id, EVENTS_SHOWN).map(eventView),
    ...(options.summary === true ? {} : { config: record.config }),
    ...(options.includeLease === true && record.lease !== null ? { lease: leaseView(record.lease) } : {}),
    ...(options.nonce === undefined ? {} : { nonce: options.nonce }),
  };
}

/** A machine in the organization's (delayed) list. */
export function orgMachineView(record: MachineRecord): Record<string, unknown> {
  const { guest, image, metadata } = record.config;
  return {
    app_name: record.app,
    id: record.id,
    name: record.name,
    state: record.state,
    region: record.region,
    instance_id: record.instanceId,
    version: record.instanceId,
    private_ip: record.privateIp,
    created_at: iso(record.createdAtMs),
    updated_at: iso(record.updatedAtMs),
    config: { guest, image, metadata: metadata ?? {} },
  };
}
