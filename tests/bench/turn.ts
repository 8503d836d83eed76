/**
 * What a turn costs a worker, with a model that answers at once: real worker, real gateway, fake backend.
 *
 *   node tests/bench/turn.ts [--turns 200] [--conversations 20]
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { startTestWorker } from "../../runtime/worker/testing/worker.ts";

const { values } = parseArgs({
  options: { turns: { type: "string", default: "200" }, conversations: { type: "string", default: "20" } },
});
const turns = Number(values.turns);
const conversations = Number(values.conversations);

const site = await startTestWorker(() => ({ kind: "text", text: "A short answer." }));
const [report] = site.deployment.readyReports;
const print = (name: string, value: string): void =>
  void process.stdout.write(`${name.padEnd(44)} ${value}\n`);
print(
  "boot to ready",
  `${report?.bootMs} ms (gateway ${report?.gatewayBootMs} ms, probe turn ${report?.probeTurnMs} ms)`,
);

/** Resident memory of a process, MB. */
async function memoryMb(pid: number | null): Promise<number> {
  const status = await readFile(`/proc/${pid ?? "self"}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024);
}
const percentile = (sorted: number[], share: number): number =>
  sorted[Math.floor(share * (sorted.length - 1))] ?? 0;

print(
  "memory after boot",
  `gateway ${await memoryMb(site.worker.enginePid())} MB, worker ${await memoryMb(process.pid)} MB`,
);
const first: number[] = [];
const warm: number[] = [];
const bytes: number[] = [];
site.deployment.calls.length = 0;
for (let turn = 0; turn < turns; turn += 1) {
  const conversationId = `bench-${turn % conversations}`;
  const uploaded = site.deployment.uploadedBytes;
  const startedAt = performance.now();
  await site.deployment.finished(
    site.deployment.enqueue(conversationId, `Message number ${turn}, of ordinary length.`),
  );
  const tookMs = Math.round(performance.now() - startedAt);
  (turn < conversations ? first : warm).push(tookMs);
  bytes.push(site.deployment.uploadedBytes - uploaded);
}
for (const [name, samples] of [
  ["first turn of a conversation", first],
  ["later turns", warm],
] as const) {
  const sorted = samples.toSorted((a, b) => a - b);
  print(
    `${name}, enqueue → completed`,
    `p50 ${percentile(sorted, 0.5)} ms, p95 ${percentile(sorted, 0.95)} ms`,
  );
}
const sortedBytes = bytes.slice(conversations).toSorted((a, b) => a - b);
print("bytes uploaded per later turn", `p50 ${percentile(sortedBytes, 0.5)}, max ${sortedBytes.at(-1)}`);
const calls = site.deployment.calls.filter((call) => call !== "heartbeat").length;
print("backend calls per message", (calls / turns).toFixed(2));
print(
  `memory after ${turns} turns`,
  `gateway ${await memoryMb(site.worker.enginePid())} MB, worker ${await memoryMb(process.pid)} MB`,
);
await site.close();
process.exit(0);
