/** What processes of this machine hold, read from /proc. A process that has ended holds nothing. */
import { readdirSync, readFileSync } from "node:fs";
import { descendants, processTable } from "../setup/standins/processTree.ts";

/** Of the times in /proc: 100 on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** Resident memory of all of them, MB. */
export function residentMb(pids: readonly number[]): number {
  const kilobytes = pids.map((pid) => Number(/VmRSS:\s+(\d+)/.exec(readProc(pid, "status"))?.[1] ?? 0));
  return Math.round(kilobytes.reduce((sum, size) => sum + size, 0) / 1_024);
}

/** CPU time of them and of the children that they have seen end, s. */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids
    // utime, stime, cutime and cstime.
    .flatMap((pid) => statFields(pid).slice(11, 15))
    .reduce((sum, field) => sum + Number(field), 0);
  return ticks / TICKS_PER_S;
}

/** Files, sockets and pipes that they have open. */
export function openFiles(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + listProc(`/proc/${pid}/fd`).length, 0);
}

/** All processes that it started, and that those started. */
export function descendantsOf(ancestor: number): number[] {
  return descendants(ancestor, processTable()).slice(1);
}

/** From the state on: the command's name may hold spaces and brackets, what follows its last bracket does not. */
function statFields(pid: number): string[] {
  return readProc(pid, "stat").split(") ").at(-1)?.split(" ") ?? [];
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
