import { AsyncLocalStorage } from "node:async_hooks";
import { FunctionError } from "../engine/errors.ts";
import type { QueryStream } from "../engine/query.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { Caller, LogLine, RequestInfo } from "./protocol.ts";

/** What kind of code is running: it decides which syscalls and globals are allowed. */
export type FunctionKind = "query" | "mutation" | "action" | "httpAction";

/** Everything that belongs to one running function. Nested calls have their own, sharing the transaction. */
export interface CallContext {
  readonly kind: FunctionKind;
  /** Normalised function path, `module:export`. */
  readonly path: string;
  readonly caller: Caller;
  readonly request: RequestInfo;
  /** Null in actions, which have no database of their own. */
  readonly transaction: Transaction | null;
  /** What `Date.now()` answers; null where the clock runs. */
  readonly frozenMs: number | null;
  readonly logs: LogLine[];
  readonly streams: Map<number, QueryStream>;
  nextStream: number;
  /** The end cursor that a re-run must reproduce, and the one that this run found. */
  journal: { replay: string | null; recorded: string | null };
  paginated: boolean;
  /** Nested mutations of one function run one after the other, whatever the code awaits. */
  nested: Promise<unknown>;
  /** Nesting depth of function calls. */
  readonly depth: number;
}

export const running = new AsyncLocalStorage<CallContext>();

/** The context of the code that is running now; throws outside of a function. */
export function currentCall(): CallContext {
  const context = running.getStore();
  if (context === undefined)
    throw new Error("Convex functions can only be used while a function is running.");
  return context;
}

/** The transaction of a query or mutation; refuses in actions. */
export function transactionOf(context: CallContext): Transaction {
  if (context.transaction === null) {
    throw new FunctionError("The database is not available in actions. Use ctx.runQuery or ctx.runMutation.");
  }
  return context.transaction;
}

/** The transaction of a mutation; refuses in queries and actions. */
export function writableTransactionOf(context: CallContext): Transaction {
  if (context.kind !== "mutation") throw new FunctionError("Only mutations can write to the database.");
  return transactionOf(context);
}
