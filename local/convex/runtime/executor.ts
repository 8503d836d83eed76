import type { RegisteredFunction } from "../deploy/inspect.ts";
import { ConflictError, FunctionError } from "../engine/errors.ts";
import type { Engine } from "../engine/engine.ts";
import type { Usage } from "../engine/limits.ts";
import { Transaction } from "../engine/transaction.ts";
import { checkArguments, checkResult } from "./checks.ts";
import { running, type CallContext, type FunctionKind } from "./context.ts";
import { NO_CODE, normalisePath, type Generation } from "./generation.ts";
import { realTimers } from "./globals.ts";
import { explain, forUserCode, type Failure } from "./outcome.ts";
import type { Caller, LogLine, RequestInfo } from "./protocol.ts";
import type { PulseWriter } from "./pulse.ts";

/** A conflicting mutation runs again at most this often; the wait between grows from one millisecond. */
const MAX_CONFLICT_RETRIES = 12;
/** Deepest chain of functions calling functions. */
const MAX_DEPTH = 32;

export interface Invocation {
  readonly path: string;
  readonly args: string;
  readonly caller: Caller;
  readonly request: RequestInfo;
  /** True when other functions, the scheduler or the admin key call: internal functions are allowed. */
  readonly trusted: boolean;
}

/** A finished attempt; the transaction is still open for the caller to commit or to watch. */
export interface Outcome {
  readonly result:
    { readonly ok: true; readonly value: string } | { readonly ok: false; readonly failure: Failure };
  readonly logs: readonly LogLine[];
  readonly transaction: Transaction | null;
  readonly journal: string | null;
}

/** Runs user functions: looks them up, checks arguments and results, bounds their time, retries conflicts. */
export class Executor {
  readonly engine: Engine;
  readonly pulse: PulseWriter;
  readonly #codeRoot: string;
  readonly #timeouts: { readonly functionMs: number; readonly actionMs: number };
  generation: Generation = NO_CODE;
  /** Queries of the deployment itself, for holders of the admin key. */
  system: ReadonlyMap<string, RegisteredFunction> = new Map();

  constructor(
    engine: Engine,
    pulse: PulseWriter,
    codeRoot: string,
    timeouts: { readonly functionMs: number; readonly actionMs: number },
  ) {
    this.engine = engine;
    this.pulse = pulse;
    this.#codeRoot = codeRoot;
    this.#timeouts = timeouts;
  }

  /** Finds a function; throws the error that Convex gives when it is missing or of another kind. */
  find(
    invocation: Pick<Invocation, "path" | "trusted" | "caller">,
    kind: FunctionKind | "any",
  ): RegisteredFunction {
    const path = normalisePath(invocation.path);
    const found =
      this.generation.functions.get(path) ?? (invocation.caller.admin ? this.system.get(path) : undefined);
    const allowed = invocation.trusted || invocation.caller.admin || found?.visibility === "public";
    if (found === undefined || !allowed) {
      const what = invocation.trusted || invocation.caller.admin ? "function" : "public function";
      throw new FunctionError(
        `Could not find ${what} for '${path}'. Did you forget to run \`npx convex dev\` or \`npx convex deploy\`?`,
      );
    }
    if (kind !== "any" && found.kind !== kind) {
      throw new FunctionError(
        `Trying to execute ${path} as ${article(kind)}, but it is defined as ${article(found.kind)}.`,
      );
    }
    return found;
  }

  /** Runs a query; conflicts with commits made meanwhile are retried on the newer state. */
  async query(
    invocation: Invocation,
    options: { atTs?: bigint; journal?: string | null } = {},
  ): Promise<Outcome> {
    for (let attempt = 0; ; attempt++) {
      const transaction = new Transaction(this.engine, options.atTs);
      const outcome = await this.#attempt("query", invocation, transaction, options.journal ?? null);
      if (outcome !== null) return outcome;
      await this.#backOff(attempt, transaction);
    }
  }

  /**
   * Runs a mutation and commits it together with `also`.
   * @param also further writes of the same transaction, decided after the function returned
   */
  async mutation(
    invocation: Invocation,
    also: (transaction: Transaction, value: string, logs: readonly LogLine[]) => void = () => undefined,
    before: (transaction: Transaction) => void = () => undefined,
  ): Promise<Outcome & { readonly ts: bigint }> {
    for (let attempt = 0; ; attempt++) {
      const transaction = new Transaction(this.engine);
      before(transaction);
      const outcome = await this.#attempt("mutation", invocation, transaction, null);
      if (outcome?.result.ok === false) return { ...outcome, ts: 0n };
      if (outcome?.result.ok === true) {
        try {
          also(transaction, outcome.result.value, outcome.logs);
          return { ...outcome, ts: transaction.commit() };
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
        }
      }
      await this.#backOff(attempt, transaction);
    }
  }

  async #backOff(attempt: number, transaction: Transaction): Promise<void> {
    transaction.end(new FunctionError("This attempt was abandoned because of a conflict."));
    if (attempt >= MAX_CONFLICT_RETRIES) {
      throw new FunctionError(
        "Documents read from or written to by this function changed while it was being run and on every subsequent retry. See https://docs.convex.dev/error#1",
      );
    }
    const wait = Math.random() * 2 ** Math.min(attempt, 6);
    await new Promise((resolve) => realTimers.setTimeout(resolve, wait));
  }

  /** Runs an action, which has no transaction of its own. */
  async action(invocation: Invocation): Promise<Outcome> {
    const outcome = await this.#attempt("action", invocation, null, null);
    if (outcome === null) throw new Error("An action cannot conflict.");
    return outcome;
  }

  /** One run. @returns null when it must run again because of a conflict */
  async #attempt(
    kind: FunctionKind,
    invocation: Invocation,
    transaction: Transaction | null,
    replay: string | null,
  ): Promise<Outcome | null> {
    const context = this.context(kind, invocation, transaction, replay);
    try {
      const value = await this.#bounded(context, () => this.#invoke(context, invocation));
      // A result computed from an overtaken state must not be reported.
      transaction?.refresh();
      return {
        result: { ok: true, value },
        logs: context.logs,
        transaction,
        journal: context.journal.recorded,
      };
    } catch (error) {
      if (this.#conflicted(transaction)) return null;
      const failure = explain(error, this.#codeRoot);
      return {
        result: { ok: false, failure },
        logs: context.logs,
        transaction,
        journal: context.journal.recorded,
      };
    }
  }

  #conflicted(transaction: Transaction | null): boolean {
    if (transaction === null) return false;
    try {
      transaction.refresh();
      return false;
    } catch (error) {
      return error instanceof ConflictError;
    }
  }

  context(
    kind: FunctionKind,
    invocation: Pick<Invocation, "path" | "caller" | "request">,
    transaction: Transaction | null,
    replay: string | null = null,
  ): CallContext {
    return {
      kind,
      path: normalisePath(invocation.path),
      caller: invocation.caller,
      request: invocation.request,
      transaction,
      frozenMs: transaction?.beginMs ?? null,
      logs: [],
      streams: new Map(),
      nextStream: 0,
      journal: { replay, recorded: null },
      paginated: false,
      nested: Promise.resolve(),
      depth: 0,
    };
  }

  async #invoke(context: CallContext, invocation: Invocation): Promise<string> {
    const found = this.find(invocation, context.kind);
    checkArguments(this.engine.catalog, found, context.path, invocation.args);
    const value = await found.invoke(invocation.args);
    checkResult(this.engine.catalog, found, context.path, value);
    return value;
  }

  /** Runs `work` inside its context and abandons it, its transaction included, when its time is over. */
  async #bounded<T>(context: CallContext, work: () => Promise<T>): Promise<T> {
    const limitMs = context.transaction === null ? this.#timeouts.actionMs : this.#timeouts.functionMs;
    this.pulse.enter(context.request);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = realTimers.setTimeout(() => reject(timedOut(limitMs)), limitMs);
    });
    try {
      return await Promise.race([running.run(context, work), timeout]);
    } catch (error) {
      context.transaction?.end(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      realTimers.clearTimeout(timer);
    }
  }

  /** Runs an HTTP action's endpoint inside an action context. */
  async http<T>(
    invocation: Pick<Invocation, "path" | "caller" | "request">,
    work: () => Promise<T>,
  ): Promise<{ outcome: T | Failure; failed: boolean; logs: readonly LogLine[] }> {
    const context = this.context("httpAction", invocation, null);
    try {
      return { outcome: await this.#bounded(context, work), failed: false, logs: context.logs };
    } catch (error) {
      return { outcome: explain(error, this.#codeRoot), failed: true, logs: context.logs };
    }
  }

  /**
   * Runs a query or mutation inside the transaction of the function that calls it. A nested mutation that
   * throws is undone alone; the caller may catch the error and go on.
   */
  async nested(
    outer: CallContext,
    kind: "query" | "mutation",
    path: string,
    args: string,
    limits: Partial<Usage> | undefined,
  ): Promise<string> {
    const transaction = outer.transaction;
    if (transaction === null) throw new FunctionError("Actions call functions in transactions of their own.");
    if (kind === "mutation" && outer.kind !== "mutation")
      throw new FunctionError("Queries cannot run mutations.");
    if (outer.depth >= MAX_DEPTH)
      throw new FunctionError(`Functions call each other more than ${MAX_DEPTH} levels deep.`);
    const invocation = { path, args, caller: outer.caller, request: outer.request, trusted: true };
    const context: CallContext = {
      ...outer,
      kind,
      path: normalisePath(path),
      streams: new Map(),
      journal: { replay: null, recorded: null },
      paginated: false,
      nested: Promise.resolve(),
      depth: outer.depth + 1,
    };
    const undo = transaction.savepoint();
    const close = transaction.meter.nest(limits);
    try {
      const value = await running.run(context, () => this.#invoke(context, invocation));
      close(false);
      return value;
    } catch (error) {
      undo();
      close(true);
      throw forUserCode(explain(error, this.#codeRoot));
    }
  }
}

function timedOut(limitMs: number): FunctionError {
  return new FunctionError(`Function execution timed out (maximum duration: ${limitMs / 1000}s)`);
}

function article(kind: string): string {
  const name = kind.charAt(0).toUpperCase() + kind.slice(1);
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}
