import type { JSONValue } from "convex/values";
import { hasHalfPair } from "../../values/shape.ts";
import { currentCall, type CallContext } from "../context.ts";
import type { Deployment } from "../deployment.ts";
import type { ConvexGlobal } from "../globals.ts";
import { databaseSyscalls, synchronousSyscalls } from "./database.ts";
import { functionSyscalls } from "./functions.ts";
import { metaSyscalls } from "./meta.ts";
import { storageSyscalls } from "./storage.ts";

// Each handler names the arguments that convex/server sends it; here they are only parsed JSON.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Handler<Result> = (context: CallContext, args: any) => Result;

function table<Result>(handlers: Record<string, Handler<Result>>): ReadonlyMap<string, Handler<Result>> {
  return new Map(Object.entries(handlers));
}

/** The `Convex` global through which bundled code reaches the deployment. */
export function convexGlobal(deployment: Deployment): ConvexGlobal {
  const storage = storageSyscalls(deployment);
  const synchronous = table<string>(synchronousSyscalls);
  const live = table<unknown>(storage.live);
  const asynchronous = table<string | Promise<string>>({
    ...databaseSyscalls,
    ...functionSyscalls(deployment),
    ...metaSyscalls(deployment),
    ...storage.asynchronous,
  });
  /** The calling function; whose code runs next is also what the watchdog wants to know. */
  const caller = (): CallContext => {
    const context = currentCall();
    deployment.executor.pulse.enter(context.request);
    return context;
  };
  return {
    syscall(operation, json) {
      const handler = synchronous.get(operation);
      if (handler === undefined) throw new Error(`Unknown operation ${operation}`);
      return handler(caller(), parsed(json));
    },
    async asyncSyscall(operation, json) {
      const handler = asynchronous.get(operation);
      if (handler === undefined) throw new Error(`Unknown async operation ${operation}`);
      try {
        return await handler(caller(), parsed(json));
      } catch (error) {
        throw forBundle(error);
      }
    },
    jsSyscall(operation, args) {
      const handler = live.get(operation);
      if (handler === undefined) throw new Error(`Unknown JS operation ${operation}`);
      return handler(caller(), args);
    },
  };
}

/** What a function hands over. @throws as Convex does for a string that is no Unicode. */
function parsed(json: string): JSONValue {
  if (hasHalfPair(json)) throw new Error("Received invalid json: a string holds half of a surrogate pair");
  return JSON.parse(json) as JSONValue;
}

/** Bundled code takes any error with a `data` property for a ConvexError, so the engine's errors go without. */
function forBundle(error: unknown): unknown {
  if (error instanceof Error && "data" in error && error.name === "FunctionError")
    return new Error(error.message);
  return error;
}
