/** A thread of the simulation: runs its seeds and posts what came of them. */
import { parentPort, workerData } from "node:worker_threads";
import { simulate } from "./simulate.ts";

/** `runs` seeds from `from`, every `step`-th. */
export type Share = { from: number; runs: number; step: number };
export type ShareResult = { runs: number; messages: number; failures: string[] };

const { from, runs, step } = workerData as Share;
const result: ShareResult = { runs: 0, messages: 0, failures: [] };
for (let i = 0; i < runs; i += 1) {
  const { seed, messages, problems } = await simulate(from + i * step);
  result.runs += 1;
  result.messages += messages;
  if (problems.length > 0) result.failures.push(`seed ${seed}: ${problems.join("; ")}`);
}
parentPort?.postMessage(result);
