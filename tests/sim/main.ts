/**
 * The seeded simulation of the queue: `npm run test:sim -- --runs 2000 --seed 1`.
 * A failing seed replays exactly: `npm run test:sim -- --runs 1 --seed <seed> --trace`.
 */
import { parseArgs } from "node:util";
import { simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    trace: { type: "boolean", default: false },
  },
});
const runs = wholeNumber("--runs", values.runs);
const firstSeed = wholeNumber("--seed", values.seed);

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`${flag} takes a whole number, got '${text}'`);
  return value;
}

const startedAt = performance.now();
const maxReads: Record<string, number> = {};
let calls = 0;
let messages = 0;
let failed = 0;
for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
  const result = await simulate(seed);
  calls += result.calls;
  messages += result.messages;
  for (const [path, reads] of Object.entries(result.maxReads)) {
    maxReads[path] = Math.max(maxReads[path] ?? 0, reads);
  }
  if (values.trace) console.info(result.trace.join("\n"));
  if (result.problems.length === 0) continue;
  failed += 1;
  console.info(`seed ${seed}: ${result.problems.join("\n  ")}`);
  console.info(`  replay: npm run test:sim -- --runs 1 --seed ${seed} --trace`);
  if (failed >= 5) break;
}
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
console.info(
  `${runs} runs from seed ${firstSeed}: ${messages} messages, ${calls} calls, ${failed} failed, ${seconds} s`,
);
console.info(`most documents read by one call: ${JSON.stringify(maxReads)}`);
process.exitCode = failed > 0 ? 1 : 0;
