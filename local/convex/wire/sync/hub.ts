import type { Caller, WatchedResult } from "../../runtime/protocol.ts";
import { HungError, type RuntimeThread } from "../../runtimeThread.ts";

/** Waits before a query whose run was lost with the runtime is asked for again. */
const RETRY_MS = 500;

export interface QuerySpec {
  readonly path: string;
  readonly args: string;
  readonly caller: Caller;
  readonly journal: string | null;
}

/** Told when something that it may have to pass on has changed. */
export interface Subscriber {
  update(): void;
}

/**
 * A query that one or more clients are subscribed to. Its latest result holds from `fromTs` until just before
 * `untilTs`, the first commit that touched what it read; null means that it still holds.
 */
export class SharedQuery {
  readonly key: number;
  readonly name: string;
  readonly spec: QuerySpec;
  readonly subscribers = new Set<Subscriber>();
  result: WatchedResult | null = null;
  /** Grows whenever the result differs from the one before. */
  version = 0;
  fromTs = 0n;
  untilTs: bigint | null = null;
  running = false;

  constructor(key: number, name: string, spec: QuerySpec) {
    this.key = key;
    this.name = name;
    this.spec = spec;
  }

  get stale(): boolean {
    return this.result === null || this.untilTs !== null;
  }

  accept(result: WatchedResult): void {
    const before = this.result;
    this.result = result;
    this.fromTs = BigInt(result.ts);
    // A commit later than this result may already have been announced while it was under way.
    if (this.untilTs !== null && this.untilTs <= this.fromTs) this.untilTs = null;
    if (before === null || visible(before) !== visible(result)) this.version += 1;
  }
}

function visible({ reply, journal }: WatchedResult): string {
  const outcome = reply.ok ? `+${reply.value}` : `-${reply.message}\n${reply.data}`;
  return `${journal}\n${outcome}`;
}

/** All subscribed queries of all sockets. The same query asked by many clients runs once. */
export class Hub {
  readonly #runtime: RuntimeThread;
  readonly #byName = new Map<string, SharedQuery>();
  readonly #byKey = new Map<number, SharedQuery>();
  readonly #updated = new Set<Subscriber>();
  #nextKey = 1;
  #scheduled = false;
  /** Timestamp of the latest commit that the host knows of. */
  latestTs = 0n;

  constructor(runtime: RuntimeThread) {
    this.#runtime = runtime;
    runtime.on("commit", (ts, stale) => this.#onCommit(BigInt(ts), stale));
    runtime.on("restarted", () => {
      for (const query of this.#byKey.values()) {
        query.running = false;
        query.untilTs ??= this.latestTs + 1n;
        this.#run(query);
      }
    });
  }

  #onCommit(ts: bigint, stale: readonly number[]): void {
    if (ts > this.latestTs) this.latestTs = ts;
    for (const key of stale) {
      const query = this.#byKey.get(key);
      if (query === undefined) continue;
      query.untilTs = query.untilTs === null || query.untilTs <= query.fromTs ? ts : query.untilTs;
      this.#run(query);
    }
  }

  subscribe(spec: QuerySpec, subscriber: Subscriber): SharedQuery {
    const name = JSON.stringify([spec.path, spec.args, spec.caller, spec.journal]);
    let query = this.#byName.get(name);
    if (query === undefined) {
      query = new SharedQuery(this.#nextKey++, name, spec);
      this.#byName.set(name, query);
      this.#byKey.set(query.key, query);
    }
    query.subscribers.add(subscriber);
    if (query.stale) this.#run(query);
    return query;
  }

  unsubscribe(query: SharedQuery, subscriber: Subscriber): void {
    query.subscribers.delete(subscriber);
    if (query.subscribers.size > 0) return;
    this.#byName.delete(query.name);
    this.#byKey.delete(query.key);
    this.#runtime.request("unwatch", { keys: [query.key] }).catch(() => undefined);
  }

  #run(query: SharedQuery): void {
    if (query.running) return;
    query.running = true;
    const { key, spec } = query;
    const journal = query.result?.journal ?? spec.journal;
    this.#runtime
      .request("watch", { key, path: spec.path, args: spec.args, caller: spec.caller, journal })
      .then(
        (result) => this.#finish(query, result),
        (error: unknown) => this.#onLost(query, error),
      );
  }

  #finish(query: SharedQuery, result: WatchedResult): void {
    query.running = false;
    if (this.#byKey.get(query.key) !== query) {
      this.#runtime.request("unwatch", { keys: [query.key] }).catch(() => undefined);
      return;
    }
    if (BigInt(result.ts) > this.latestTs) this.latestTs = BigInt(result.ts);
    query.accept(result);
    if (query.stale) this.#run(query);
    for (const subscriber of query.subscribers) this.notify(subscriber);
  }

  #onLost(query: SharedQuery, error: unknown): void {
    if (error instanceof HungError) {
      const reply = { ok: false, message: error.message, data: null, logs: [], metrics: null } as const;
      this.#finish(query, { reply, journal: null, ts: String(this.latestTs) });
      return;
    }
    setTimeout(() => {
      query.running = false;
      if (this.#byKey.get(query.key) === query) this.#run(query);
    }, RETRY_MS).unref();
  }

  /** Calls the subscriber's `update` once, after everything that is happening now. */
  notify(subscriber: Subscriber): void {
    this.#updated.add(subscriber);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const updated = [...this.#updated];
      this.#updated.clear();
      for (const one of updated) one.update();
    });
  }
}
