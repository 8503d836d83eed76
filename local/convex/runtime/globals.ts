import { running } from "./context.ts";

type Syscall = (operation: string, json: string) => string;

export interface ConvexGlobal {
  syscall: Syscall;
  asyncSyscall: (operation: string, json: string) => Promise<string>;
  // The wire of convex/server: arguments and results of "JS" syscalls are live objects such as Blobs.
  jsSyscall: (operation: string, args: Record<string, unknown>) => unknown;
}

/** Timers and fetch as they were before function code could see them. */
export const realTimers = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

/** Static methods of AbortSignal that Convex's runtime does not promise: whoever relies on them fails there alone. */
const UNPROMISED = ["timeout", "any"] as const;

const FORBIDDEN = ["fetch", "setTimeout", "setInterval"] as const;

/** Gives function code the globals of Convex: its syscalls, a frozen clock, no side effects in queries and mutations. */
export function installGlobals(convex: ConvexGlobal): void {
  Object.defineProperty(globalThis, "Convex", { value: Object.freeze(convex), configurable: false });
  for (const name of FORBIDDEN) forbidInTransactions(name);
  for (const name of UNPROMISED) Reflect.deleteProperty(AbortSignal, name);
  freezeClock();
}

function forbidInTransactions(name: (typeof FORBIDDEN)[number]): void {
  const original = globalThis[name] as (...args: unknown[]) => unknown;
  const guarded = (...args: unknown[]): unknown => {
    const kind = running.getStore()?.kind;
    if (kind === "query" || kind === "mutation") {
      throw new Error(
        `Can't use ${name}() in queries and mutations. Please consider using an action. See https://docs.convex.dev/functions/actions for more details.`,
      );
    }
    return original(...args);
  };
  // Properties of the original, such as util.promisify's hook on setTimeout, stay reachable.
  Object.setPrototypeOf(guarded, original);
  Object.defineProperty(globalThis, name, { value: guarded, writable: true, configurable: true });
}

/** Inside a query or mutation time stands still, so that running it again gives the same result. */
function freezeClock(): void {
  const RealDate = globalThis.Date;
  const realNow = RealDate.now.bind(RealDate);
  const now = (): number => running.getStore()?.frozenMs ?? realNow();
  RealDate.now = now;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args: unknown[], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    apply: () => new RealDate(now()).toString(),
  });
}
