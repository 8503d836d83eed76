import { FunctionError } from "../engine/errors.ts";
import type { Engine } from "../engine/engine.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { Completions } from "./completions.ts";
import type { Executor, Invocation, Outcome } from "./executor.ts";
import type { CallReply, CallRequest, LogLine, WatchedQuery, WatchedResult } from "./protocol.ts";
import { watchLabel } from "./pulse.ts";
import type { Watches } from "./watches.ts";

const now = Date.now.bind(Date);
/** A client that reconnects resends what was not answered; nobody stays away longer than this. */
const KEEP_REQUESTS_MS = 60 * 60 * 1000;
const SWEEP_EVERY = 2_000;

interface RecordedReply {
  readonly value: string;
  readonly logs: readonly LogLine[];
}

/** Answers the host's function calls. */
export class Calls {
  readonly #engine: Engine;
  readonly #executor: Executor;
  readonly #completions: Completions;
  readonly #watches: Watches;
  #sinceSweep = 0;

  constructor(engine: Engine, executor: Executor, completions: Completions, watches: Watches) {
    this.#engine = engine;
    this.#executor = executor;
    this.#completions = completions;
    this.#watches = watches;
  }

  /** Runs one function for a client. Never throws for faults of the function or of its arguments. */
  async call(request: CallRequest): Promise<CallReply> {
    const { path, args, caller } = request;
    const invocation: Invocation = { path, args, caller, request: request.request, trusted: false };
    try {
      const kind = request.kind === "any" ? this.#executor.find(invocation, "any").kind : request.kind;
      if (kind === "mutation") return await this.#mutation(invocation, request.once);
      const startedMs = now();
      const outcome = await (kind === "query"
        ? this.#executor.query(invocation, request.atTs === undefined ? {} : { atTs: BigInt(request.atTs) })
        : this.#executor.action(invocation));
      return this.#reply(kind, invocation, outcome, startedMs, outcome.transaction?.ts ?? 0n);
    } catch (error) {
      return refusal(error);
    }
  }

  async #mutation(invocation: Invocation, once: CallRequest["once"]): Promise<CallReply> {
    const known = once === undefined ? null : this.#recorded(once);
    if (known !== null) return known;
    const startedMs = now();
    const record = (transaction: Transaction, value: string, logs: readonly LogLine[]): void => {
      if (once === undefined) return;
      if (this.#recorded(once) !== null) throw new AlreadyDone();
      transaction.addRow((store) => {
        const reply: RecordedReply = { value, logs };
        const statement = store.sql("INSERT INTO requests VALUES (?, ?, ?, ?, ?)");
        // The commit's own timestamp is not known yet; any later one also lies after this commit.
        statement.run(
          once.session,
          once.request,
          startedMs,
          String(this.#engine.ts + 1n),
          JSON.stringify(reply),
        );
      });
    };
    try {
      const outcome = await this.#executor.mutation(invocation, record);
      this.#sweepRequests();
      return this.#reply("mutation", invocation, outcome, startedMs, outcome.ts);
    } catch (error) {
      const done = error instanceof AlreadyDone && once !== undefined ? this.#recorded(once) : null;
      if (done !== null) return done;
      throw error;
    }
  }

  #recorded(once: NonNullable<CallRequest["once"]>): CallReply | null {
    const row = this.#engine.store
      .sql("SELECT reply FROM requests WHERE session = ? AND request = ?")
      .get(once.session, once.request);
    if (row === undefined) return null;
    const { value, logs } = JSON.parse(row["reply"] as string) as RecordedReply;
    return { ok: true, value, logs, ts: String(this.#engine.ts), metrics: null };
  }

  #sweepRequests(): void {
    this.#sinceSweep += 1;
    if (this.#sinceSweep < SWEEP_EVERY) return;
    this.#sinceSweep = 0;
    this.#engine.store.sql("DELETE FROM requests WHERE at_ms < ?").run(now() - KEEP_REQUESTS_MS);
  }

  #reply(
    kind: "query" | "mutation" | "action",
    invocation: Invocation,
    outcome: Outcome,
    startedMs: number,
    ts: bigint,
  ): CallReply {
    const udfType = ({ query: "Query", mutation: "Mutation", action: "Action" } as const)[kind];
    const metrics = this.#completions.report(udfType, invocation, outcome, startedMs);
    const { result, logs } = outcome;
    if (result.ok) return { ok: true, value: result.value, logs, ts: String(ts), metrics };
    return { ok: false, message: result.failure.message, data: result.failure.data, logs, metrics };
  }

  /** Runs a subscribed query and remembers what it read, so that later commits can name it as stale. */
  async watch(query: WatchedQuery): Promise<WatchedResult> {
    const { key, path, args, caller, journal } = query;
    const request = { id: watchLabel(key), ip: null, userAgent: null, scheduledFunctionId: null };
    const invocation: Invocation = { path, args, caller, request, trusted: false };
    const startedMs = now();
    try {
      const outcome = await this.#executor.query(invocation, { journal });
      const { transaction } = outcome;
      if (transaction === null) throw new Error("A query always has a transaction.");
      this.#watches.set(key, transaction);
      const reply = this.#reply("query", invocation, outcome, startedMs, transaction.ts);
      return { reply, journal: outcome.journal, ts: String(transaction.ts) };
    } catch (error) {
      return { reply: refusal(error), journal: null, ts: String(this.#engine.ts) };
    }
  }
}

/** The same request was committed by another attempt while this one ran. */
class AlreadyDone extends Error {}

function refusal(error: unknown): CallReply {
  if (error instanceof FunctionError) {
    return { ok: false, message: error.message, data: error.data, logs: [], metrics: null };
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return {
    ok: false,
    message: "InternalServerError: Your request couldn't be completed.",
    data: null,
    logs: [],
    metrics: null,
  };
}
