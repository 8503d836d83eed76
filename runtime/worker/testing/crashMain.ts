/**
 * Entry of a worker that kills itself at a named point of a turn: WORKER_CRASH_AT=<point>. Only tests build a tree
 * with it; the image's entry does not know the variable.
 */
import { existsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { runWorkerProcess } from "../src/run.ts";

const crashAt = process.env["WORKER_CRASH_AT"];
/** Crashes once: the marker tells the next worker on this computer that it has happened. */
const marker = process.env["WORKER_CRASH_MARKER"];

function reached(point: string): void {
  if (point !== crashAt || (marker !== undefined && existsSync(marker))) return;
  if (marker !== undefined) writeFileSync(marker, point);
  process.kill(process.pid, "SIGKILL");
}

await runWorkerProcess(dirname(fileURLToPath(import.meta.url)), { reached });
