/** Keys `start <= key < end` of one index that a transaction has looked at. `end` and `start` may still move. */
export interface Interval {
  start: Buffer;
  end: Buffer;
}

/** Index entries that a commit added, removed or whose document it changed. */
export type WrittenKeys = ReadonlyMap<number, readonly Buffer[]>;

/** Everything that a transaction's result depends on, as key ranges and never as whole tables. */
export class ReadSet {
  readonly #intervals = new Map<number, Interval[]>();

  /** Records an interval; the caller may widen it as its scan advances. */
  add(indexId: number, interval: Interval): void {
    const known = this.#intervals.get(indexId);
    if (known === undefined) this.#intervals.set(indexId, [interval]);
    else known.push(interval);
  }

  /** The first index in which one of the written keys was read, or null. */
  overlap(written: WrittenKeys): number | null {
    for (const [indexId, keys] of written) {
      const intervals = this.#intervals.get(indexId);
      if (intervals === undefined) continue;
      for (const interval of intervals) {
        for (const key of keys) {
          if (interval.start.compare(key) <= 0 && interval.end.compare(key) > 0) return indexId;
        }
      }
    }
    return null;
  }

  /** Ids of the indexes that were read at all. */
  indexIds(): Iterable<number> {
    return this.#intervals.keys();
  }
}
