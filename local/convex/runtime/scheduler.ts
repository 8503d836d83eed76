import { convexToJson, type JSONValue, type Value } from "convex/values";
import { BY_STATE, SCHEDULED_TABLE, type Table } from "../engine/catalog.ts";
import type { Engine } from "../engine/engine.ts";
import { FunctionError } from "../engine/errors.ts";
import type { Fields } from "../engine/overlay.ts";
import { rangeOf, type RangeExpression } from "../engine/ranges.ts";
import { Scan } from "../engine/scan.ts";
import { parseDocument, Transaction } from "../engine/transaction.ts";
import type { Executor, Invocation } from "./executor.ts";
import { normalisePath } from "./generation.ts";
import { realTimers } from "./globals.ts";
import type { Failure } from "./outcome.ts";
import type { Completions } from "./completions.ts";
import { SCHEDULED_LABEL } from "./pulse.ts";
import { SYSTEM_CALLER, systemRequest } from "./callers.ts";

/** Mutations run one after the other anyway; actions mostly wait. */
const MAX_RUNNING = { mutation: 16, action: 128 } as const;
/** Due jobs looked at in one go: enough to find a mutation behind many actions that wait for a place. */
const LOOKAHEAD = 1_000;
/** Longest sleep of a timer; Node's own limit is 24.8 days. */
const MAX_SLEEP_MS = 60 * 60 * 1000;
/** Finished jobs stay readable for seven days. */
const KEEP_FINISHED_MS = 7 * 24 * 60 * 60 * 1000;
const SWEEP_BATCH = 500;
const SWEEP_INTERVAL_MS = 60_000;

const now = Date.now.bind(Date);

/** A due job as the scheduler sees it. */
interface Job {
  readonly id: string;
  readonly path: string;
  readonly args: string;
}

/** Runs scheduled functions: mutations exactly once, actions at most once. */
export class Scheduler {
  readonly #engine: Engine;
  readonly #executor: Executor;
  readonly #completions: Completions;
  readonly #table: Table;
  readonly #inHand = new Set<string>();
  #counts = { mutation: 0, action: 0 };
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #sweptMs = 0;

  constructor(engine: Engine, executor: Executor, completions: Completions) {
    this.#engine = engine;
    this.#executor = executor;
    this.#completions = completions;
    this.#table = engine.catalog.table(SCHEDULED_TABLE);
    engine.onCommit((commit) => {
      if (commit.documents.some((document) => document.table === this.#table)) this.wake();
    });
  }

  /** Adds a job with the transaction. @param atMs due time in milliseconds since 1970 */
  schedule(transaction: Transaction, path: string, args: JSONValue, atMs: number): string {
    const normalised = normalisePath(path);
    const found = this.#executor.find({ path, trusted: true, caller: SYSTEM_CALLER }, "any");
    if (found.kind === "query")
      throw new FunctionError(`Cannot schedule ${normalised}: only mutations and actions can be scheduled.`);
    const bytes = JSON.stringify(args).length;
    transaction.meter.spend("functionsScheduled", 1);
    transaction.meter.spend("scheduledFunctionArgsBytes", bytes);
    const [module, name] = normalised.split(":") as [string, string];
    return transaction.insert(this.#table, {
      name: `${module}.js:${name}`,
      args: [args],
      scheduledTime: atMs,
      state: { kind: "pending" },
    });
  }

  /** Cancels a job that has not finished. An action that already runs is not interrupted. */
  cancel(transaction: Transaction, id: string): void {
    if (this.#engine.catalog.tableOfId(id) !== this.#table) {
      throw new FunctionError(
        `Invalid ID ${JSON.stringify(id).slice(0, 80)}: expected an ID of table "${SCHEDULED_TABLE}".`,
      );
    }
    const found = transaction.get(id);
    if (found === null) throw new FunctionError(`Scheduled function ${id} does not exist.`);
    const kind = stateOf(parseDocument(found.json));
    if (kind !== "pending" && kind !== "inProgress") return;
    this.#setState(transaction, id, { kind: "canceled" });
  }

  #setState(transaction: Transaction, id: string, state: Record<string, Value>): void {
    const completedTime = state["kind"] === "inProgress" ? undefined : now();
    transaction.replace(
      id,
      (fields) => ({ ...fields, state, ...(completedTime === undefined ? {} : { completedTime }) }),
      "patch",
    );
  }

  /**
   * Fails the jobs that the previous process did not finish, then begins to run what is due.
   * @param hung labels of the calls that hung the previous runtime
   */
  start(hung: readonly string[]): void {
    this.#change((transaction) => {
      for (const job of this.#inState(transaction, "inProgress", Infinity)) {
        this.#setState(transaction, job.id, {
          kind: "failed",
          error: "Transient error while executing action",
        });
      }
      for (const label of hung) {
        if (!label.startsWith(SCHEDULED_LABEL)) continue;
        const id = label.slice(SCHEDULED_LABEL.length);
        const found = transaction.get(id);
        if (found === null || stateOf(parseDocument(found.json)) !== "pending") continue;
        this.#setState(transaction, id, { kind: "failed", error: "Function execution timed out" });
      }
    });
    this.wake();
  }

  stop(): void {
    this.#stopped = true;
    realTimers.clearTimeout(this.#timer);
  }

  /** Looks for due jobs soon. */
  wake(): void {
    this.#sleep(0);
  }

  #sleep(ms: number): void {
    if (this.#stopped) return;
    realTimers.clearTimeout(this.#timer);
    this.#timer = realTimers.setTimeout(() => this.#tick(), Math.min(ms, MAX_SLEEP_MS));
  }

  #tick(): void {
    // One moment for the whole tick: a job that becomes due during it must still set the next alarm.
    const nowMs = now();
    for (const job of this.#inState(new Transaction(this.#engine), "pending", LOOKAHEAD, nowMs)) {
      if (this.#inHand.has(job.id)) continue;
      const kind = this.#kindOf(job);
      if (this.#counts[kind] >= MAX_RUNNING[kind]) continue;
      this.#inHand.add(job.id);
      this.#counts[kind] += 1;
      void this.#run(kind, job).finally(() => {
        this.#inHand.delete(job.id);
        this.#counts[kind] -= 1;
        this.wake();
      });
    }
    const next = this.#nextDue(nowMs);
    this.#sleep(next === null ? MAX_SLEEP_MS : Math.max(0, next - now()));
    this.#sweep(new Transaction(this.#engine));
  }

  #kindOf(job: Job): "mutation" | "action" {
    return this.#executor.generation.functions.get(normalisePath(job.path))?.kind === "action"
      ? "action"
      : "mutation";
  }

  /** Due time of the first job after `nowMs`. Earlier ones wait for a free place, and the next job to finish wakes them. */
  #nextDue(nowMs: number): number | null {
    const found = this.#scan(new Transaction(this.#engine), "pending", { type: "Gt", ms: nowMs }).next();
    return found === null ? null : (parseDocument(found.json)["scheduledTime"] as number);
  }

  #scan(
    transaction: Transaction,
    kind: string,
    due?: { readonly type: "Gt" | "Lte"; readonly ms: number },
  ): Scan {
    const index = this.#engine.catalog.index(this.#table, BY_STATE);
    const range: RangeExpression[] = [{ type: "Eq", fieldPath: "state.kind", value: kind }];
    if (due !== undefined)
      range.push({ type: due.type, fieldPath: "scheduledTime", value: convexToJson(due.ms) });
    return new Scan(transaction, index, rangeOf(SCHEDULED_TABLE, index, range), false);
  }

  #inState(transaction: Transaction, kind: string, limit: number, beforeMs?: number): Job[] {
    const scan = this.#scan(
      transaction,
      kind,
      beforeMs === undefined ? undefined : { type: "Lte", ms: beforeMs },
    );
    const jobs: Job[] = [];
    while (jobs.length < limit) {
      const found = scan.next();
      if (found === null) break;
      const { name, args } = JSON.parse(found.json) as { name: string; args: JSONValue[] };
      jobs.push({ id: found.id, path: name, args: JSON.stringify(args) });
    }
    return jobs;
  }

  /** A small transaction of the scheduler itself. Nothing awaits inside, so it cannot conflict. */
  #change(work: (transaction: Transaction) => void): void {
    const transaction = new Transaction(this.#engine);
    work(transaction);
    transaction.commit();
  }

  async #run(kind: "mutation" | "action", job: Job): Promise<void> {
    const request = systemRequest(job.id);
    const invocation = { path: job.path, args: job.args, caller: SYSTEM_CALLER, request, trusted: true };
    try {
      await (kind === "mutation" ? this.#runMutation(job, invocation) : this.#runAction(job, invocation));
    } catch (error) {
      this.#finish(job.id, { message: (error as Error).message, data: null });
    }
  }

  async #runMutation(job: Job, invocation: Invocation): Promise<void> {
    if (!this.#isPending(new Transaction(this.#engine), job.id)) return;
    const startedMs = now();
    const outcome = await this.#executor.mutation(
      invocation,
      (transaction) => this.#setState(transaction, job.id, { kind: "success" }),
      // Reading the job ties the mutation to it: a cancel in the meantime makes it start over, and stop here.
      (transaction) => {
        if (!this.#isPending(transaction, job.id))
          throw new FunctionError("This scheduled function was canceled.");
      },
    );
    this.#completions.report("Mutation", invocation, outcome, startedMs);
    if (!outcome.result.ok) this.#finish(job.id, outcome.result.failure);
  }

  async #runAction(job: Job, invocation: Invocation): Promise<void> {
    // Marked as started before it starts: after a crash it is never run a second time.
    let started = false;
    this.#change((transaction) => {
      started = this.#isPending(transaction, job.id);
      if (started) this.#setState(transaction, job.id, { kind: "inProgress" });
    });
    if (!started) return;
    const startedMs = now();
    const outcome = await this.#executor.action(invocation);
    this.#completions.report("Action", invocation, outcome, startedMs);
    this.#finish(job.id, outcome.result.ok ? null : outcome.result.failure);
  }

  #isPending(transaction: Transaction, id: string): boolean {
    const found = transaction.get(id);
    return found !== null && stateOf(parseDocument(found.json)) === "pending";
  }

  #finish(id: string, failure: Failure | null): void {
    this.#change((transaction) => {
      const found = transaction.get(id);
      const kind = found === null ? null : stateOf(parseDocument(found.json));
      if (kind !== "pending" && kind !== "inProgress") return;
      this.#setState(
        transaction,
        id,
        failure === null ? { kind: "success" } : { kind: "failed", error: failure.message },
      );
    });
  }

  /** Deletes jobs that finished long ago, a bounded number at a time. */
  #sweep(transaction: Transaction): void {
    if (now() - this.#sweptMs < SWEEP_INTERVAL_MS) return;
    this.#sweptMs = now();
    const before = now() - KEEP_FINISHED_MS;
    const old = ["success", "failed", "canceled"].flatMap((kind) =>
      this.#inState(transaction, kind, SWEEP_BATCH, before),
    );
    if (old.length === 0) return;
    this.#change((change) => {
      for (const { id } of old) change.delete(id);
    });
  }
}

function stateOf(fields: Fields): string {
  return (fields["state"] as { kind: string }).kind;
}
