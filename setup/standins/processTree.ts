import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Time a process gets between SIGTERM and SIGKILL, in milliseconds. */
const killGraceMs = 2_000;
/** Each look finds what was started since the one before: one more than a tree is deep, unless it is forking madly. */
const looksMax = 100;

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
  const doomed = freeze(root);
  for (const pid of doomed) signal(pid, "SIGTERM");
  for (const pid of doomed) signal(pid, "SIGCONT");
  const deadline = performance.now() + killGraceMs;
  while (doomed.some(isAlive) && performance.now() < deadline) await sleep(50);
  for (const pid of doomed) signal(pid, "SIGKILL");
}

/** Ends a process and everything it started at once, as a power cut does. Nothing of them can clean up. */
export function cutTree(root: number): void {
  for (const pid of freeze(root)) signal(pid, "SIGKILL");
}

/**
 * Stops a process and everything it started from running, and lists them, `root` first.
 *
 * A process that still runs may start another between a look at the table and the signal that ends it; that one
 * would have no parent left to be found by. Whoever is stopped starts nothing, so the list is whole once a look
 * at the table finds nobody new.
 */
function freeze(root: number): number[] {
  const stopped = new Set<number>();
  for (let look = 0; look < looksMax; look += 1) {
    const fresh = descendants(root, processTable()).filter((pid) => !stopped.has(pid));
    if (fresh.length === 0) break;
    for (const pid of fresh) {
      signal(pid, "SIGSTOP");
      stopped.add(pid);
    }
  }
  return [...stopped];
}

/** All processes of this computer. */
export function processTable(): ProcessRow[] {
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
