import type { MachineStore } from "./machineStore.ts";
import type { MachineEvent, MachineRecord } from "./record.ts";

/** Where machines' records are read and changed: saves a change and tells those who wait for it. */
export class MachineBoard {
  readonly #store: MachineStore;
  readonly #now: () => number;
  readonly #listeners = new Set<(id: string) => void>();
  #closed = false;

  constructor(store: MachineStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** After this nothing is read or written any more: the database is about to be closed. */
  close(): void {
    this.#closed = true;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  find(id: string): MachineRecord | null {
    return this.#closed ? null : this.#store.find(id);
  }

  /** Null when the machine is gone. */
  set(id: string, change: Partial<MachineRecord>): MachineRecord | null {
    const record = this.find(id);
    if (record === null) return null;
    const next = { ...record, ...change, updatedAtMs: this.#now() };
    this.#store.save(next);
    for (const listener of this.#listeners) listener(id);
    return next;
  }

  event(
    id: string,
    type: MachineEvent["type"],
    status: string,
    source: MachineEvent["source"],
    request?: Record<string, unknown>,
  ): void {
    if (this.#closed) return;
    this.#store.addEvent(id, {
      type,
      status,
      source,
      timestamp: this.#now(),
      ...(request === undefined ? {} : { request }),
    });
  }

  /** Calls back after every change of any machine; returns how to end it. */
  onChange(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
