import type { MachineRecord } from "./record.ts";

/** Fly counts automatic restarts in a window of five minutes, ten by default. */
const RESTART_WINDOW_MS = 300_000;
const RESTARTS_DEFAULT = 10;
const RESTART_DELAY_MS_MAX = 5_000;

export type ExitDecision =
  | { kind: "stopped" }
  | { kind: "failed" }
  | { kind: "destroy" }
  | { kind: "start" }
  | { kind: "restart"; delayMs: number; restarts: MachineRecord["restarts"] };

/**
 * What becomes of a machine whose main process ended with this code: a requested stop is carried through, otherwise
 * the restart policy rules, and what is not restarted is destroyed when auto_destroy is set.
 */
export function decideAfterExit(
  record: Pick<MachineRecord, "state" | "stop" | "config" | "restarts">,
  exitCode: number,
  nowMs: number,
): ExitDecision {
  if (record.state === "destroying") return { kind: "destroy" };
  const ended: ExitDecision = record.config.auto_destroy === true ? { kind: "destroy" } : { kind: "stopped" };
  if (record.stop !== null) {
    if (record.stop.next === "destroyed") return { kind: "destroy" };
    if (record.stop.next === "start") return { kind: "start" };
    // An update that leaves the machine stopped is not the end of its work.
    return record.state === "replacing" ? { kind: "stopped" } : ended;
  }
  // A suspended machine does not run: losing its process loses only the memory image, not the machine.
  if (record.state === "suspended" || record.state === "suspending") return { kind: "stopped" };
  const { policy, max_retries: retriesMax = RESTARTS_DEFAULT } = record.config.restart;
  const wanted = policy === "always" || (policy === "on-failure" && exitCode !== 0);
  if (!wanted) return ended;
  const sameWindow = nowMs - record.restarts.windowStartedAtMs < RESTART_WINDOW_MS;
  const count = sameWindow ? record.restarts.count + 1 : 1;
  if (policy === "on-failure" && count > retriesMax) {
    return record.config.auto_destroy === true ? { kind: "destroy" } : { kind: "failed" };
  }
  const windowStartedAtMs = sameWindow ? record.restarts.windowStartedAtMs : nowMs;
  const delayMs = Math.min(RESTART_DELAY_MS_MAX, 100 * 2 ** Math.min(count - 1, 10));
  return { kind: "restart", delayMs, restarts: { count, windowStartedAtMs } };
}
