import { notFound } from "../errors.ts";
import type { AppCall } from "../http/route.ts";
import { NONCE_HEADER, requireLease } from "./leases.ts";
import type { MachineStore } from "./machineStore.ts";
import type { MachineRecord } from "./record.ts";

/** Finds the machine of a call: one rule for who is found, seen and may be written. */
export class MachineAccess {
  readonly #store: MachineStore;
  readonly #now: () => number;
  readonly #destroyedVisibleMs: number;

  constructor(store: MachineStore, now: () => number, destroyedVisibleMs: number) {
    this.#store = store;
    this.#now = now;
    this.#destroyedVisibleMs = destroyedVisibleMs;
  }

  /** A machine to read: for a short time also one that is destroyed, as on Fly. */
  readable(call: AppCall): MachineRecord {
    const record = this.#find(call);
    const until = (record.destroyedAtMs ?? Infinity) + this.#destroyedVisibleMs;
    if (this.#now() >= until) throw notFound("machine not found");
    return record;
  }

  /** A machine to change: not destroyed, and not under another's lease. */
  writable(call: AppCall): MachineRecord {
    const record = this.#find(call);
    if (record.destroyedAtMs !== null) throw notFound("not_found: machine not found");
    requireLease(record, call.headers.get(NONCE_HEADER), this.#now());
    return record;
  }

  /** Also long after the destruction, for waits. */
  known(call: AppCall): MachineRecord {
    return this.#find(call);
  }

  #find(call: AppCall): MachineRecord {
    const record = this.#store.find(call.params["machine"] ?? "");
    if (record === null || record.app !== call.app.name) throw notFound("machine not found");
    return record;
  }
}
