/** The machines of a run: workers start, crash, drain and leave, and the dead are noticed after a while. */
import { sha256Hex } from "../../runtime/convex/secrets/digest.ts";
import { SimWorker } from "./simWorker.ts";
import type { World } from "./world.ts";

const WORKERS = 3;
export const SLOTS = 2;

type Dead = { worker: SimWorker; noticeAt: number };

export class Fleet {
  readonly #world: World;
  workers: SimWorker[] = [];
  /** Processes that died for the fleet, but whose late calls may still arrive. */
  readonly ghosts: SimWorker[] = [];
  #dead: Dead[] = [];
  #made = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async setUp(): Promise<void> {
    for (let i = 0; i < WORKERS; i += 1) await this.#startWorker();
  }

  async #startWorker(): Promise<void> {
    this.#made += 1;
    const worker = new SimWorker(this.#world, `w${this.#made}`, SLOTS);
    const { workerId, token } = worker.credential;
    const tokenHash = await sha256Hex(token);
    await this.#world.backend.db.transact(async () => {
      this.#world.backend.db.insert("workers", {
        workerId,
        state: "active",
        tokenHash,
        image: "image",
        configRevision: 1,
        load: 0,
        slots: SLOTS,
        hasFreeSlot: true,
        canary: false,
        createdAt: this.#world.clock,
        readyAt: this.#world.clock,
        lastHeartbeatAt: this.#world.clock,
        turnsDone: 0,
        turnsFailed: 0,
      });
      this.#world.backend.db.insert("workerSignals", {
        workerId,
        wake: 1,
        draining: false,
        cancelled: [],
        tokenHash,
      });
    });
    this.workers.push(worker);
    this.#world.note(`${workerId} is ready`);
  }

  /** What the scaler does about a machine that is gone: the row ends, leases come back, another one is made. */
  async replaceDead(force: boolean): Promise<void> {
    for (const dead of this.#dead.filter(({ noticeAt }) => force || noticeAt <= this.#world.clock)) {
      this.#dead = this.#dead.filter((other) => other !== dead);
      const { workerId } = dead.worker;
      const row = this.#world.backend.db.all("workers").find((doc) => doc["workerId"] === workerId);
      const signals = this.#world.backend.db.all("workerSignals").find((doc) => doc["workerId"] === workerId);
      if (row === undefined || signals === undefined) continue;
      await this.#world.backend.db.transact(async () => {
        this.#world.backend.db.patch("workers", row._id, {
          state: "stopped",
          hasFreeSlot: false,
          tokenHash: undefined,
          stoppedAt: this.#world.clock,
        });
        this.#world.backend.db.delete("workerSignals", signals._id);
      });
      await this.#world.backend.call("queue/recovery:recoverWorker", { workerId, reason: "machine gone" });
      this.#world.note(`${workerId} was found dead`);
      await this.#startWorker();
    }
  }

  /** A planned end: the worker finishes or releases; it is replaced when its process has ended. */
  async drain(worker: SimWorker): Promise<void> {
    if (!worker.alive || worker.draining) return;
    const { workerId } = worker;
    const row = this.#world.backend.db.all("workers").find((doc) => doc["workerId"] === workerId);
    const signals = this.#world.backend.db.all("workerSignals").find((doc) => doc["workerId"] === workerId);
    if (row === undefined || signals === undefined) return;
    await this.#world.backend.db.transact(async () => {
      this.#world.backend.db.patch("workers", row._id, { state: "draining", hasFreeSlot: false });
      this.#world.backend.db.patch("workerSignals", signals._id, {
        draining: true,
        drainDeadlineAt: this.#world.clock + 60_000,
      });
    });
    worker.draining = true;
  }

  loseSome(): void {
    for (const worker of this.workers) {
      const drained = worker.draining && worker.turns.length === 0 && this.#world.random.chance(0.3);
      if (!worker.alive || !(drained || this.#world.random.chance(this.#world.faults().crash))) continue;
      worker.crash();
      this.workers = this.workers.filter((other) => other !== worker);
      this.ghosts.push(worker);
      this.#dead.push({ worker, noticeAt: this.#world.clock + this.#world.random.below(120_000) });
      this.#world.note(`${worker.workerId} ${drained ? "left" : "crashed"}`);
    }
  }
}
