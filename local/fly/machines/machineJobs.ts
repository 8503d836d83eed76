/** Background work, one job at a time per machine, in the order it was asked for. */
export class MachineJobs {
  readonly #tails = new Map<string, Promise<void>>();
  readonly #onFailure: (id: string, error: unknown) => void;

  constructor(onFailure: (id: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  add(id: string, job: () => Promise<void>): void {
    const tail: Promise<void> = (this.#tails.get(id) ?? Promise.resolve())
      .then(job)
      .catch((error: unknown) => this.#onFailure(id, error))
      .finally(() => {
        if (this.#tails.get(id) === tail) this.#tails.delete(id);
      });
    this.#tails.set(id, tail);
  }

  /** Resolves when the jobs that are queued now have ended. */
  async drain(): Promise<void> {
    await Promise.allSettled(this.#tails.values());
  }
}
