import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ProcessIdentity } from "./record.ts";

/**
 * The machine's "init": leader of a process group of its own. It starts the command in the foreground, records the
 * command's pid and exit code in the run folder, and ends by killing what is left of the group, as a machine's end
 * kills everything in it. Because it does so by itself, exits are known even when they happen while the emulator is
 * away. The shell's own remarks ("Terminated") are kept out of the log. $1 = run folder, rest = command.
 */
const INIT_SCRIPT = `
exec 3>&2 2>/dev/null
run=$1; shift
sh -c 'echo $$ >"$0/main.tmp" && mv "$0/main.tmp" "$0/main" && exec "$@" 2>&3 3>&-' "$run" "$@"
code=$?
echo "$code" >"$run/exit.tmp" && mv "$run/exit.tmp" "$run/exit"
kill -KILL 0
`;

export interface Launch {
  /** Empty folder for the pid and exit files. */
  runFolder: string;
  argv: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** Standard output and error are appended here, without passing through the emulator. */
  logFile: string;
}

/** Starts the command as a group that survives the emulator. The identity is to be stored at once. */
export function launch(plan: Launch): { child: ChildProcess; identity: ProcessIdentity } {
  const log = openSync(plan.logFile, "a", 0o600);
  try {
    const child = spawn("/bin/sh", ["-c", INIT_SCRIPT, "machine-init", plan.runFolder, ...plan.argv], {
      cwd: plan.cwd,
      env: plan.env,
      detached: true,
      stdio: ["ignore", log, log],
    });
    if (child.pid === undefined) throw new Error("the operating system started no process for the machine");
    child.unref();
    return { child, identity: { pid: child.pid, startToken: startTokenOf(child.pid) ?? "" } };
  } finally {
    closeSync(log);
  }
}

/** When a process began, as its system tells it; null when there is none (a zombie counts as none). */
export function startTokenOf(pid: number): string | null {
  if (process.platform !== "linux") {
    try {
      const line = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], {
        encoding: "utf8",
      }).trim();
      return line === "" || line.startsWith("Z") ? null : line.replace(/^\S+\s+/, "");
    } catch {
      return null; // ps exits 1 for a pid that does not exist
    }
  }
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command, in brackets, may itself hold spaces and brackets: fields are counted from the last bracket.
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return null; // the folder disappears with the process
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return startTokenOf(identity.pid) === identity.startToken;
}

/** Exit code left by the init, and when; null when it was killed before it could write one. */
export function readExit(runFolder: string): { code: number; atMs: number } | null {
  const file = join(runFolder, "exit");
  if (!existsSync(file)) return null;
  const code = Number.parseInt(readFileSync(file, "utf8"), 10);
  return { code: Number.isNaN(code) ? 255 : code, atMs: Math.round(statSync(file).mtimeMs) };
}

/** Pid of the machine's command, once the init has written it (a few milliseconds after the launch). */
export function readMainPid(runFolder: string): number | null {
  const file = join(runFolder, "main");
  if (!existsSync(file)) return null;
  const pid = Number.parseInt(readFileSync(file, "utf8"), 10);
  return Number.isNaN(pid) ? null : pid;
}

/** Sends a signal; a pid (or, negative, a group) that is gone is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/**
 * Signals everything of a machine: its group, and on Linux also descendants that left the group (a daemon, a tool's
 * own session), which are known by the machine id in their environment.
 */
export function signalMachine(
  machineId: string,
  identity: ProcessIdentity | null,
  signal: NodeJS.Signals,
): void {
  if (identity !== null) sendSignal(-identity.pid, signal);
  for (const pid of strays(machineId)) sendSignal(pid, signal);
}

function strays(machineId: string): number[] {
  if (process.platform !== "linux") return [];
  const mark = `\0FLY_MACHINE_ID=${machineId}\0`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && environmentOf(pid).includes(mark));
}

function environmentOf(pid: number): string {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`;
  } catch {
    return ""; // gone meanwhile, or another user's
  }
}
