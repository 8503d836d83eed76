/** Watches what a process holds while a test runs: the largest is what a machine must have room for. */
import { descendantsOf, openFiles, residentMb } from "./processes.ts";

const INTERVAL_MS = 2_000;

export interface Watched {
  memory_mb: { first: number; max: number; last: number };
  open_files: { first: number; max: number; last: number };
}

export interface Watch {
  /** Looks once more and ends. */
  stop(): Watched;
}

/**
 * @param pid of the process, with whom it started; null while there is none.
 */
export function watchProcess(pid: () => number | null): Watch {
  const memory: number[] = [];
  const files: number[] = [];
  const look = (): void => {
    const current = pid();
    if (current === null) return;
    const all = [current, ...descendantsOf(current)];
    memory.push(residentMb(all));
    files.push(openFiles(all));
  };
  look();
  const timer = setInterval(look, INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return { memory_mb: summary(memory), open_files: summary(files) };
    },
  };
}

const summary = (samples: readonly number[]) => ({
  first: samples[0] ?? 0,
  max: Math.max(0, ...samples),
  last: samples.at(-1) ?? 0,
});
