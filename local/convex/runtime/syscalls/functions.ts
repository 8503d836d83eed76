import { randomUUID } from "node:crypto";
import type { JSONValue } from "convex/values";
import { FunctionError } from "../../engine/errors.ts";
import type { Usage } from "../../engine/limits.ts";
import { Transaction } from "../../engine/transaction.ts";
import { running, type CallContext } from "../context.ts";
import type { Deployment } from "../deployment.ts";
import { normalisePath } from "../generation.ts";
import { forUserCode } from "../outcome.ts";

/** How convex/server names the function to call. */
interface Address {
  readonly name?: string;
  readonly functionHandle?: string;
  readonly reference?: string;
}

interface CallArgs extends Address {
  readonly args: JSONValue;
}

const HANDLE = "function://";

function pathOf(address: Address): string {
  if (address.name !== undefined) return address.name;
  if (address.functionHandle?.startsWith(HANDLE)) return address.functionHandle.slice(HANDLE.length);
  throw new FunctionError(
    `Cannot call ${address.reference ?? "this function reference"}: the local Convex deployment has no components.`,
  );
}

/** Runs work on the scheduler in the caller's transaction, or in one of its own when an action calls. */
function inTransaction<T>(
  deployment: Deployment,
  context: CallContext,
  work: (transaction: Transaction) => T,
): T {
  if (context.kind === "query") throw new FunctionError("Queries cannot schedule or cancel functions.");
  if (context.transaction !== null) {
    context.transaction.refresh();
    return work(context.transaction);
  }
  const transaction = new Transaction(deployment.engine);
  const result = work(transaction);
  transaction.commit();
  return result;
}

interface ScheduleArgs extends CallArgs {
  /** Due time in seconds since 1970. */
  readonly ts: number;
}

/** Syscalls by which functions call and schedule each other. */
export function functionSyscalls(deployment: Deployment) {
  const { executor, scheduler } = deployment;

  const schedule = (context: CallContext, args: ScheduleArgs): string => {
    const atMs = Math.max(0, args.ts * 1000);
    return JSON.stringify(
      inTransaction(deployment, context, (transaction) =>
        scheduler.schedule(transaction, pathOf(args), args.args, atMs),
      ),
    );
  };
  const cancel = (context: CallContext, args: { id: string }): string => {
    inTransaction(deployment, context, (transaction) => scheduler.cancel(transaction, args.id));
    return "null";
  };

  const invocation = (context: CallContext, args: CallArgs) => ({
    path: pathOf(args),
    args: JSON.stringify([args.args]),
    caller: context.caller,
    request: { ...context.request, id: randomUUID().slice(0, 16) },
    trusted: true,
  });
  /** Calls from actions leave the action's context: each has its own transaction and logs into the caller's. */
  const fromAction =
    (run: "query" | "mutation" | "action") => async (context: CallContext, args: CallArgs) => {
      if (context.transaction !== null) throw new FunctionError("Only actions can call functions this way.");
      const outcome = await running.exit(() => executor[run](invocation(context, args)));
      context.logs.push(...outcome.logs);
      if (!outcome.result.ok) throw forUserCode(outcome.result.failure);
      return outcome.result.value;
    };

  return {
    "1.0/actions/query": fromAction("query"),
    "1.0/actions/mutation": fromAction("mutation"),
    "1.0/actions/action": fromAction("action"),
    "1.0/schedule": schedule,
    "1.0/actions/schedule": schedule,
    "1.0/cancel_job": cancel,
    "1.0/actions/cancel_job": cancel,

    "1.0/runUdf": async (
      context: CallContext,
      args: CallArgs & { udfType: string; transactionLimits?: Partial<Usage> },
    ): Promise<string> => {
      const json = JSON.stringify([args.args]);
      if (args.udfType === "snapshotQuery") {
        const outcome = await running.exit(() => executor.query(invocation(context, args)));
        if (!outcome.result.ok) throw forUserCode(outcome.result.failure);
        return outcome.result.value;
      }
      const kind = args.udfType === "mutation" ? "mutation" : "query";
      const run = () => executor.nested(context, kind, pathOf(args), json, args.transactionLimits);
      if (kind === "query") return await run();
      const turn = context.nested.then(run);
      context.nested = turn.catch(() => undefined);
      return await turn;
    },

    "1.0/createFunctionHandle": (_context: CallContext, args: Address): string =>
      JSON.stringify(`${HANDLE}${normalisePath(pathOf(args))}`),

    "1.0/actions/vectorSearch": (): string => {
      throw new FunctionError("The local Convex deployment has no vector search. Use a hosted deployment.");
    },
  };
}
