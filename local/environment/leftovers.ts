/**
 * What an environment that was killed leaves running: its services and its machines. Only processes that prove to
 * belong to that very folder are ended; a process id alone may have been given to somebody else since.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One field of one process by `ps`, empty when there is no such process. */
function ask(pid: number, field: string): string {
  try {
    return execFileSync("ps", ["-ww", "-o", `${field}=`, "-p", String(pid)], { encoding: "utf8" }).trim();
  } catch (error) {
    // ps answers 1 for a process that is gone.
    if ((error as { status?: number }).status === 1) return "";
    throw error;
  }
}

/** Whether a process with that id runs whose command contains `text`. */
export function isRunning(pid: number, text: string): boolean {
  return Number.isInteger(pid) && pid > 0 && ask(pid, "command").includes(text);
}

function kill(target: number): boolean {
  try {
    process.kill(target, "SIGKILL");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

function endServices(stateDir: string): number {
  const file = join(stateDir, "pids.json");
  if (!existsSync(file)) return 0;
  const pids = Object.values(JSON.parse(readFileSync(file, "utf8")) as Record<string, number>);
  return pids.filter((pid) => ask(pid, "command").includes(stateDir) && kill(pid)).length;
}

/** Process groups of machines that still run out of this environment's folder. */
export function runningMachines(stateDir: string): number[] {
  const machines = join(stateDir, "fly", "machines");
  if (!existsSync(machines)) return [];
  return readdirSync(machines).flatMap((id) => {
    const file = join(machines, id, "run", "main");
    if (!existsSync(file)) return [];
    const group = Number(ask(Number(readFileSync(file, "utf8").trim()), "pgid"));
    return group > 1 && ask(group, "command").includes(join(machines, id)) ? [group] : [];
  });
}

/** Ends what is left of an environment; returns how many processes and groups were ended. */
export function endLeftovers(stateDir: string): number {
  const services = endServices(stateDir);
  return services + runningMachines(stateDir).filter((group) => kill(-group)).length;
}
