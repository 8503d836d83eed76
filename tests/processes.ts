/** What processes of this machine hold, read from /proc. A process that has ended holds nothing. */
import { readdirSync, readFileSync } from "node:fs";

/** Resident memory of all of them, MB. */
export function residentMb(pids: readonly number[]): number {
  const kilobytes = pids.map((pid) => Number(/VmRSS:\s+(\d+)/.exec(readProc(pid, "status"))?.[1] ?? 0));
  return Math.round(kilobytes.reduce((sum, size) => sum + size, 0) / 1_024);
}

/** Files, sockets and pipes that they have open. */
export function openFiles(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + listProc(`/proc/${pid}/fd`).length, 0);
}

/** All processes that it started, and that those started. */
export function descendants(ancestor: number): number[] {
  const parents = new Map<number, number>();
  for (const name of listProc("/proc")) {
    // The command's name may hold spaces and brackets: what follows its last bracket does not.
    const [, parent] = readProc(Number(name), "stat").split(") ").at(-1)?.split(" ") ?? [];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const found = [ancestor];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found.slice(1);
}

function readProc(pid: number, file: string): string {
  try {
    return Number.isNaN(pid) ? "" : readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function listProc(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
