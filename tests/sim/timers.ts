/** The backend's own clockwork during a run: scheduled jobs, late or lost, and the cron behind them. */
import type { World } from "./world.ts";

export class Timers {
  readonly #world: World;
  #sweepAt: number;

  constructor(world: World) {
    this.#world = world;
    this.#sweepAt = world.clock + 60_000;
  }

  /** Due jobs, in any order; late ones stay for later, and with bad luck one never runs. */
  async runDue(): Promise<void> {
    const due = [...this.#world.backend.jobs.values()].filter((job) => job.dueAt <= this.#world.clock);
    for (const job of due) {
      if (this.#world.dropJobs > 0 && this.#world.random.chance(0.1)) continue;
      this.#world.backend.jobs.delete(job.id);
      if (job.name === "scaler/loop:tick") await this.#tick();
      if (!this.#world.backend.isKnown(job.name)) continue;
      if (this.#world.random.chance(this.#world.dropJobs)) {
        this.#world.note(`lost ${job.name}`);
        continue;
      }
      this.#world.note(`run ${job.name} ${JSON.stringify(job.args)}`);
      await this.#world.backend.call(job.name, job.args);
    }
    if (this.#world.clock >= this.#sweepAt) {
      this.#sweepAt = this.#world.clock + 60_000;
      this.#world.note(`sweep ${JSON.stringify(await this.#world.backend.call("queue/sweep:sweepQueue"))}`);
    }
  }

  /** The scaler itself is not simulated here (tests/scaler does): its tick only takes the timer. */
  async #tick(): Promise<void> {
    for (const timer of this.#world.backend.db.all("scalerTimer")) {
      await this.#world.backend.db.transact(async () =>
        this.#world.backend.db.patch("scalerTimer", timer._id, {
          nextTickAt: null,
          lastTickAt: this.#world.clock,
        }),
      );
    }
  }

  /** When the next job or sweep is due, ms. */
  nextAt(): number {
    let next = this.#sweepAt;
    for (const job of this.#world.backend.jobs.values()) next = Math.min(next, job.dueAt);
    return next;
  }
}
