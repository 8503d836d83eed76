/** Watches an environment's machines from the side of Fly, and compares both sides in the end. */
import assert from "node:assert/strict";
import type { Cloud } from "./cloud.ts";

const LOOK_EVERY_MS = 50;

export class FleetWatch {
  readonly #cloud: Cloud;
  readonly #names = new Set<string>();
  #most = 0;
  #looking = true;
  /** Why it could not look any more; null: it could. */
  readonly #done: Promise<Error | null>;

  /** Looks until `end`. */
  constructor(cloud: Cloud) {
    this.#cloud = cloud;
    this.#done = this.#look().then(
      () => null,
      (error: Error) => error,
    );
  }

  async #look(): Promise<void> {
    while (this.#looking) {
      const machines = await this.#cloud.machines();
      this.#most = Math.max(this.#most, machines.length);
      for (const { name } of machines) this.#names.add(name);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  /** Machines seen in all. */
  get seen(): ReadonlySet<string> {
    return this.#names;
  }

  /** Ends the watch: the ceiling was never passed, and soon every machine has its row and every row its machine. */
  async end(maxWorkers: number): Promise<void> {
    this.#looking = false;
    assert.equal(await this.#done, null);
    assert.ok(this.#most <= maxWorkers, `${this.#most} machines at once, ${maxWorkers} allowed`);
    const cloud = this.#cloud;
    await cloud.until("no orphan machine and no row without one is left", async () => {
      const rows = (await cloud.backend.table("workers")).filter(({ state }) => state !== "stopped");
      const machines = await cloud.machines();
      const known = new Set(rows.map(({ machineId }) => machineId as string | undefined));
      const there = new Set<string | undefined>(machines.map(({ id }) => id));
      return machines.every(({ id }) => known.has(id)) && rows.every(({ machineId }) => there.has(machineId));
    });
  }
}
