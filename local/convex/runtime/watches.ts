import type { Commit, Engine } from "../engine/engine.ts";
import type { ReadSet } from "../engine/readSet.ts";
import type { Transaction } from "../engine/transaction.ts";

interface Watch {
  readonly key: number;
  readonly readSet: ReadSet;
}

/** What the subscribed queries have read, so that a commit can name exactly the ones that it made stale. */
export class Watches {
  readonly #engine: Engine;
  readonly #onStale: (ts: bigint, keys: number[]) => void;
  readonly #byKey = new Map<number, Watch>();
  readonly #byIndex = new Map<number, Set<Watch>>();

  /** @param onStale told of every commit and of the watches that it made stale */
  constructor(engine: Engine, onStale: (ts: bigint, keys: number[]) => void) {
    this.#engine = engine;
    this.#onStale = onStale;
    engine.onCommit((commit) => onStale(commit.ts, this.#stale(commit)));
  }

  /** Begins or renews a watch with what a finished query has read. */
  set(key: number, transaction: Transaction): void {
    this.delete(key);
    const watch = { key, readSet: transaction.readSet };
    // Commits between the end of the query and now were not compared with this read set yet.
    for (const commit of this.#engine.since(transaction.sequence) ?? []) {
      if (watch.readSet.overlap(commit.written) !== null) this.#onStale(commit.ts, [key]);
    }
    this.#byKey.set(key, watch);
    for (const indexId of watch.readSet.indexIds()) {
      let watches = this.#byIndex.get(indexId);
      if (watches === undefined) this.#byIndex.set(indexId, (watches = new Set()));
      watches.add(watch);
    }
  }

  delete(key: number): void {
    const watch = this.#byKey.get(key);
    if (watch === undefined) return;
    this.#byKey.delete(key);
    for (const indexId of watch.readSet.indexIds()) {
      const watches = this.#byIndex.get(indexId);
      watches?.delete(watch);
      if (watches?.size === 0) this.#byIndex.delete(indexId);
    }
  }

  /** Every watch: for changes that no key range describes, such as new code or environment variables. */
  keys(): number[] {
    return [...this.#byKey.keys()];
  }

  #stale(commit: Commit): number[] {
    const stale = new Set<number>();
    for (const indexId of commit.written.keys()) {
      for (const watch of this.#byIndex.get(indexId) ?? []) {
        if (!stale.has(watch.key) && watch.readSet.overlap(commit.written) !== null) stale.add(watch.key);
      }
    }
    return [...stale];
  }
}
