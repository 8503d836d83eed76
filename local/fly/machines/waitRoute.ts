import { FlyError, invalidArgument } from "../errors.ts";
import { type Route, ok } from "../http/route.ts";
import type { MachineAccess } from "./machineAccess.ts";
import type { MachineEngine } from "./machineEngine.ts";
import { MACHINE } from "./machineRoutes.ts";
import type { MachineStore } from "./machineStore.ts";
import { type MachineRecord, SETTLED_STATES } from "./record.ts";

const TIMEOUT_SECONDS_MAX = 60;
const WAITABLE = ["started", "stopped", "suspended", "destroyed", "failed", "settled"];

/** True when the machine is in one of the awaited states; `settled` stands for every state that lasts. */
export function isReached(record: Pick<MachineRecord, "state">, states: readonly string[]): boolean {
  return states.includes(record.state) || (states.includes("settled") && SETTLED_STATES.has(record.state));
}

function awaitedStates(query: URLSearchParams): string[] {
  const states = query
    .getAll("state")
    .flatMap((text) => text.split(","))
    .filter(Boolean);
  const unknown = states.find((state) => !WAITABLE.includes(state));
  if (unknown !== undefined) throw invalidArgument(`state: '${unknown}' is none of ${WAITABLE.join(", ")}`);
  return states.length === 0 ? ["started"] : states;
}

function timeoutSeconds(query: URLSearchParams): number {
  const seconds = Number(query.get("timeout") ?? TIMEOUT_SECONDS_MAX);
  if (!Number.isFinite(seconds) || seconds < 0) throw invalidArgument("timeout: must be seconds, at most 60");
  return Math.min(seconds, TIMEOUT_SECONDS_MAX);
}

/** Long wait for a state; 408 when it is not reached in time. */
export function waitRoute(store: MachineStore, engine: MachineEngine, access: MachineAccess): Route {
  return {
    operation: "Machines_wait",
    method: "GET",
    path: `${MACHINE}/wait`,
    access: "app",
    handle: async (call) => {
      const record = access.known(call);
      const states = awaitedStates(call.query);
      const version = call.query.get("version") ?? call.query.get("instance_id");
      if (version === null && states.includes("stopped")) {
        throw invalidArgument("version (or instance_id) is required to wait for stopped");
      }
      if (version !== null && version !== record.instanceId) {
        throw invalidArgument(`version: machine is at ${record.instanceId}`);
      }
      const timeoutMs = timeoutSeconds(call.query) * 1_000;
      const reached = await new Promise<MachineRecord | null>((resolve) => {
        const look = (): void => {
          const current = store.find(record.id);
          if (current !== null && isReached(current, states)) end(current);
        };
        const leave = (): void => end(null);
        const timer = setTimeout(leave, timeoutMs);
        const unsubscribe = engine.board.onChange((id) => {
          if (id === record.id) look();
        });
        function end(result: MachineRecord | null): void {
          clearTimeout(timer);
          unsubscribe();
          call.abandoned.removeEventListener("abort", leave);
          resolve(result);
        }
        call.abandoned.addEventListener("abort", leave);
        look();
      });
      if (reached === null)
        throw new FlyError(408, `deadline_exceeded: machine did not reach ${states.join(" or ")} in time`);
      const [latest] = store.events(record.id, 1);
      return ok({ ok: true, state: reached.state, version: reached.instanceId, event_id: latest?.id ?? "" });
    },
  };
}
