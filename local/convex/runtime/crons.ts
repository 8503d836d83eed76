import type { CronSpec } from "../deploy/inspect.ts";
import type { Engine } from "../engine/engine.ts";
import type { Store } from "../engine/store.ts";
import { SYSTEM_CALLER, systemRequest } from "./callers.ts";
import type { Completions } from "./completions.ts";
import type { Executor } from "./executor.ts";
import { realTimers } from "./globals.ts";
import type { CronDiff } from "./protocol.ts";
import { CRON_LABEL } from "./pulse.ts";
import { nextRun } from "./schedule.ts";

const MAX_SLEEP_MS = 60 * 60 * 1000;
const now = Date.now.bind(Date);

interface CronRow {
  readonly name: string;
  readonly spec: CronSpec;
  readonly nextMs: number;
}

/** Fires crons. The next due time is a row that moves in the same commit as the mutation's own writes. */
export class Crons {
  readonly #engine: Engine;
  readonly #executor: Executor;
  readonly #completions: Completions;
  readonly #running = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(engine: Engine, executor: Executor, completions: Completions) {
    this.#engine = engine;
    this.#executor = executor;
    this.#completions = completions;
  }

  #rows(): CronRow[] {
    return this.#engine.store
      .sql("SELECT name, spec, next_ms FROM crons ORDER BY next_ms, name")
      .all()
      .map((row) => ({
        name: row["name"] as string,
        spec: JSON.parse(row["spec"] as string) as CronSpec,
        nextMs: row["next_ms"] as number,
      }));
  }

  /** What a push would change. */
  diff(specs: Readonly<Record<string, CronSpec>>): CronDiff {
    const known = new Map(this.#rows().map((row) => [row.name, JSON.stringify(row.spec)]));
    const names = Object.keys(specs);
    return {
      added: names.filter((name) => !known.has(name)),
      updated: names.filter((name) => known.has(name) && known.get(name) !== JSON.stringify(specs[name])),
      deleted: [...known.keys()].filter((name) => !(name in specs)),
    };
  }

  /** The row changes of a push; an unchanged cron keeps its rhythm. */
  replaceRows(specs: Readonly<Record<string, CronSpec>>): (store: Store) => void {
    const { added, updated, deleted } = this.diff(specs);
    const changed = Object.entries(specs)
      .filter(([name]) => added.includes(name) || updated.includes(name))
      .map(([name, spec]) => ({ name, spec, nextMs: nextRun(name, spec.schedule, now(), null) }));
    return (store) => {
      for (const name of deleted) store.sql("DELETE FROM crons WHERE name = ?").run(name);
      for (const { name, spec, nextMs } of changed) {
        store
          .sql("INSERT OR REPLACE INTO crons(name, spec, next_ms) VALUES (?, ?, ?)")
          .run(name, JSON.stringify(spec), nextMs);
      }
    };
  }

  /** Begins to fire. @param hung labels of the calls that hung the previous runtime: their slot is given up */
  start(hung: readonly string[]): void {
    const rows = this.#rows().filter(({ name }) => hung.includes(`${CRON_LABEL}${name}`));
    if (rows.length > 0) this.#engine.touch(rows.map((row) => this.#advance(row)));
    this.wake();
  }

  /** Looks for due crons now and then sleeps until the next one. */
  wake(): void {
    if (this.#stopped) return;
    realTimers.clearTimeout(this.#timer);
    let next = now() + MAX_SLEEP_MS;
    for (const row of this.#rows()) {
      if (row.nextMs > now()) next = Math.min(next, row.nextMs);
      else if (!this.#running.has(row.name)) this.#fire(row);
    }
    this.#timer = realTimers.setTimeout(() => this.wake(), Math.max(1, next - now()));
  }

  stop(): void {
    this.#stopped = true;
    realTimers.clearTimeout(this.#timer);
  }

  #fire(row: CronRow): void {
    this.#running.add(row.name);
    void this.#run(row)
      .catch((error: unknown) => {
        this.#engine.touch([this.#advance(row)]);
        process.stderr.write(`cron ${row.name}: ${(error as Error).message}\n`);
      })
      .finally(() => {
        this.#running.delete(row.name);
        this.wake();
      });
  }

  #advance({ name, spec, nextMs }: CronRow): (store: Store) => void {
    const following = nextRun(name, spec.schedule, now(), nextMs);
    return (store) => store.sql("UPDATE crons SET next_ms = ? WHERE name = ?").run(following, name);
  }

  async #run(row: CronRow): Promise<void> {
    const invocation = {
      path: row.spec.name,
      args: JSON.stringify(row.spec.args),
      caller: SYSTEM_CALLER,
      request: { ...systemRequest(null), id: `${CRON_LABEL}${row.name}` },
      trusted: true,
    };
    const startedMs = now();
    const { kind } = this.#executor.find(invocation, "any");
    if (kind === "mutation") {
      const outcome = await this.#executor.mutation(invocation, (transaction) =>
        transaction.addRow(this.#advance(row)),
      );
      if (!outcome.result.ok) this.#engine.touch([this.#advance(row)]);
      this.#completions.report("Mutation", invocation, outcome, startedMs);
      return;
    }
    // Moved on before it starts: after a crash the action is not run a second time for this slot.
    this.#engine.touch([this.#advance(row)]);
    const outcome = await this.#executor.action(invocation);
    this.#completions.report("Action", invocation, outcome, startedMs);
  }
}
