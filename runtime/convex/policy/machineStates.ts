/**
 * What to do about one worker, from its own state and its machine's. The table below has a cell for every
 * pair, so that no state of Fly's, not even one it invents tomorrow, is met without an answer.
 */

/** States that Fly documents. */
const FLY_STATES = [
  "created",
  "creating",
  "starting",
  "started",
  "restarting",
  "updating",
  "replacing",
  "stopping",
  "stopped",
  "suspending",
  "suspended",
  "failed",
  "launch_failed",
  "destroying",
  "destroyed",
  "replaced",
  "migrated",
] as const;

/** Fly's state, `other` for a word that we do not know, `missing` when the listing lacks the machine. */
export type MachineState = (typeof FLY_STATES)[number] | "other" | "missing";
export const machineStates: readonly MachineState[] = [...FLY_STATES, "other", "missing"];

export type WorkerState = "creating" | "active" | "draining" | "stopping" | "warm" | "stopped";

/** Reads Fly's word for a state. */
export function readMachineState(word: string): MachineState {
  return (FLY_STATES as readonly string[]).includes(word) ? (word as MachineState) : "other";
}

/**
 * nothing: as it should be. wait: between two states; a timeout of the worker's own state bounds it.
 * create: ask for the machine (again: its name makes that safe). boot: it rests but should run: start it, or
 * give up if it was started already. serve: it runs and should. missing: believe it only after the grace and
 * a 404. died: its process ended without being told. drain: goes on draining. drained: has come to rest.
 * end: destroy it. rest: it runs but should rest. keep: it rests and may. gone: it is over, close the row.
 * orphan: nobody's machine, destroy it after the grace.
 */
export type Cell =
  | "nothing"
  | "wait"
  | "create"
  | "boot"
  | "serve"
  | "missing"
  | "died"
  | "drain"
  | "drained"
  | "end"
  | "rest"
  | "keep"
  | "gone"
  | "orphan";

const table: Record<WorkerState, Record<MachineState, Cell>> = {
  creating: {
    missing: "create",
    created: "wait",
    creating: "wait",
    starting: "wait",
    started: "wait",
    restarting: "wait",
    updating: "wait",
    replacing: "wait",
    // Between a start and its boot a resting machine has not obeyed yet; after it, its process ended.
    stopping: "wait",
    stopped: "boot",
    suspending: "wait",
    suspended: "boot",
    failed: "died",
    launch_failed: "died",
    destroying: "died",
    destroyed: "gone",
    replaced: "gone",
    migrated: "gone",
    other: "wait",
  },
  active: {
    missing: "missing",
    created: "serve",
    creating: "serve",
    starting: "serve",
    started: "serve",
    restarting: "serve",
    updating: "serve",
    replacing: "serve",
    stopping: "serve",
    stopped: "died",
    // A machine that we have just resumed may be listed so for a moment; the settle time covers it.
    suspending: "died",
    suspended: "died",
    failed: "died",
    launch_failed: "died",
    destroying: "died",
    destroyed: "gone",
    replaced: "gone",
    migrated: "gone",
    other: "serve",
  },
  draining: {
    missing: "missing",
    created: "drain",
    creating: "drain",
    starting: "drain",
    started: "drain",
    restarting: "drain",
    updating: "drain",
    replacing: "drain",
    stopping: "wait",
    stopped: "drained",
    suspending: "wait",
    suspended: "drained",
    failed: "end",
    launch_failed: "end",
    destroying: "end",
    destroyed: "gone",
    replaced: "gone",
    migrated: "gone",
    other: "drain",
  },
  stopping: {
    missing: "missing",
    created: "end",
    creating: "end",
    starting: "end",
    started: "end",
    restarting: "end",
    updating: "end",
    replacing: "end",
    stopping: "end",
    stopped: "end",
    suspending: "end",
    suspended: "end",
    failed: "end",
    launch_failed: "end",
    destroying: "wait",
    destroyed: "gone",
    replaced: "gone",
    migrated: "gone",
    other: "end",
  },
  warm: {
    missing: "missing",
    created: "keep",
    creating: "wait",
    starting: "wait",
    started: "rest",
    restarting: "wait",
    updating: "wait",
    replacing: "wait",
    stopping: "wait",
    stopped: "keep",
    suspending: "wait",
    suspended: "keep",
    failed: "end",
    launch_failed: "end",
    destroying: "end",
    destroyed: "gone",
    replaced: "gone",
    migrated: "gone",
    other: "wait",
  },
  stopped: {
    missing: "nothing",
    created: "orphan",
    creating: "orphan",
    starting: "orphan",
    started: "orphan",
    restarting: "orphan",
    updating: "orphan",
    replacing: "orphan",
    stopping: "orphan",
    stopped: "orphan",
    suspending: "orphan",
    suspended: "orphan",
    failed: "orphan",
    launch_failed: "orphan",
    destroying: "nothing",
    destroyed: "nothing",
    replaced: "nothing",
    migrated: "nothing",
    other: "orphan",
  },
};

/** A machine without any row is treated as that of a worker that is over: pass `stopped`. */
export function cellOf(worker: WorkerState, machine: MachineState): Cell {
  return table[worker][machine];
}

/** States in which a machine is over: it no longer counts and needs no call. */
export function isOver(machine: MachineState): boolean {
  return machine === "missing" || machine === "destroyed" || machine === "replaced" || machine === "migrated";
}

/** Resting machines can be started; all others run or are about to change. */
export function isResting(machine: MachineState): boolean {
  return machine === "stopped" || machine === "suspended" || machine === "created";
}

/** The machine exists, is not at rest and has not failed: an order to start it was obeyed. */
export function isRunning(machine: MachineState): boolean {
  return (
    !isOver(machine) && !isResting(machine) && !["failed", "launch_failed", "destroying"].includes(machine)
  );
}
