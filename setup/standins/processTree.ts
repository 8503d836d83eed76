import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Time a process gets between SIGTERM and SIGKILL, in milliseconds. */
const killGraceMs = 2_000;

/** One row of the process table. */
interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
}

/** All processes below `root` in `table`, `root` first. */
export function descendants(root: number, table: readonly ProcessRow[]): number[] {
  const found = [root];
  // The list grows while it is walked; the seen check bounds it even if pids were reused mid-read.
  for (const parent of found) {
    for (const row of table) {
      if (row.parent === parent && !found.includes(row.pid)) found.push(row.pid);
    }
  }
  return found;
}

/**
 * Ends a process and everything it started: SIGTERM, then SIGKILL after the grace.
 * Children share the plugin's process group (so that an engine killed hard takes them along),
 * which is why the tree is walked instead of signalling a group.
 */
export async function killTree(root: number): Promise<void> {
  const doomed = descendants(root, processTable());
  for (const pid of doomed) signal(pid, "SIGTERM");
  const deadline = performance.now() + killGraceMs;
  while (doomed.some(isAlive) && performance.now() < deadline) await sleep(50);
  for (const pid of doomed) signal(pid, "SIGKILL");
}

/** Ends a process and everything it started at once, as a power cut does. Nothing of them can clean up. */
export function cutTree(root: number): void {
  for (const pid of descendants(root, processTable())) signal(pid, "SIGKILL");
}

function processTable(): ProcessRow[] {
  return process.platform === "linux" ? tableFromProc() : tableFromPs();
}

function tableFromProc(): ProcessRow[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = readOptional(`/proc/${name}/stat`);
      // Fields after the command's closing parenthesis: state, parent pid, …
      const parent = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
      return parent === undefined ? [] : [{ pid: Number(name), parent: Number(parent) }];
    });
}

function tableFromPs(): ProcessRow[] {
  const rows = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  return rows
    .trim()
    .split("\n")
    .map((row) => {
      const [pid, parent] = row.trim().split(/\s+/).map(Number);
      return { pid: pid ?? 0, parent: parent ?? 0 };
    });
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // the process ended between the listing and the read
  }
}

function isAlive(pid: number): boolean {
  return signal(pid, 0);
}

/** Sends a signal; false when the process is gone already. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
