/**
 * `npm run bench:boot`: what a cold worker costs until its gateway has answered a turn, and while it then waits. Real
 * gateway, instant model, full compile cache. Judge by CPU-seconds: wall time is also everybody else's on the machine.
 * `--against` boots another checkout of this repository in alternation with this one.
 *
 *   npm run bench:boot -- [--boots 5] [--turns 5] [--idle-s 0] [--against DIR] [--json]
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { createEngine } from "../../runtime/worker/src/agent/engine.ts";
import { planModels } from "../../runtime/worker/src/agent/models.ts";
import { bundlePlugin } from "../../runtime/worker/image/bundle.ts";
import { repositoryDir } from "../../runtime/worker/image/context.ts";
import { startTestModel } from "../../runtime/worker/testing/model.ts";
import { compileCacheDir } from "../../runtime/worker/testing/worker.ts";
import { cpuSeconds, descendantsOf, residentMb } from "../processes.ts";

const SAMPLE_MS = 200;
const BOOT_TIMEOUT_MS = 180_000;
const TURN_TIMEOUT_MS = 60_000;
/** After the last turn, before the idle minute is measured: what a turn leaves to be done is done by then. */
const SETTLE_MS = 10_000;

/** One boot. Wall times from the start of the engine; CPU-seconds of the gateway and all that it started. */
interface Boot {
  ready_ms: number;
  ready_cpu_s: number;
  /** The throwaway turn included. */
  answered_ms: number;
  answered_cpu_s: number;
  /** Each later turn, in a session of its own, mean. */
  turn_cpu_s: number;
  /** null unless asked for. */
  idle_cpu_s_per_minute: number | null;
  memory_mb: number;
}

interface Size {
  turns: number;
  idleS: number;
}

/** The gateway's CPU-seconds by time, so that what it had used at a past moment can be told. */
function watchCpu() {
  const samples: Array<{ at: number; cpuS: number }> = [];
  const take = (): number => {
    const cpuS = cpuSeconds(descendantsOf(process.pid));
    samples.push({ at: performance.now(), cpuS });
    return cpuS;
  };
  const timer = setInterval(take, SAMPLE_MS);
  return {
    now: take,
    at: (moment: number): number => samples.findLast(({ at }) => at <= moment)?.cpuS ?? 0,
    stop: () => clearInterval(timer),
  };
}

async function boot(tree: string, modelUrl: string, { turns, idleS }: Size): Promise<Boot> {
  const dir = await mkdtemp(join(tmpdir(), "af-bench-boot-"));
  await bundlePlugin(join(dir, "plugin"));
  const models = planModels({
    OPENCLAW_AGENT_MODEL: "openai/instant",
    OPENCLAW_MODEL_BASE_URL: modelUrl,
    OPENAI_API_KEY: "bench",
  });
  if (!models.ok) throw new Error(models.problems.join(", "));
  const source = pathToFileURL(join(tree, "runtime/worker/src/agent/engine.ts")).href;
  const make = ((await import(source)) as { createEngine: typeof createEngine }).createEngine;
  const engine = make(
    {
      openclawDir: join(tree, "node_modules/openclaw"),
      runDir: join(dir, "run"),
      pluginSourceDir: join(dir, "plugin"),
      models: models.plan,
      turnTimeoutSeconds: 120,
      compileCache: { dir: compileCacheDir, portable: false },
      bootTimeoutMs: BOOT_TIMEOUT_MS,
    },
    {
      onRestart: (reason) => process.stderr.write(`The gateway was replaced: ${reason}\n`),
      onLost: (reason) => process.stderr.write(`The gateway is lost: ${reason}\n`),
    },
  );
  const cpu = watchCpu();
  // Helpers that the bundler keeps are no part of the gateway.
  const before = cpu.now();
  try {
    const startedAt = performance.now();
    const { gatewayBootMs } = await engine.start();
    const answeredMs = Math.round(performance.now() - startedAt);
    const answeredCpuS = cpu.now() - before;
    const beforeTurns = cpu.now();
    for (let turn = 1; turn <= turns; turn += 1)
      await runTurn(engine, join(dir, `conversation-${turn}`), turn);
    const turnCpuS = (cpu.now() - beforeTurns) / turns;
    const memoryMb = residentMb(descendantsOf(process.pid));
    return {
      ready_ms: gatewayBootMs,
      ready_cpu_s: rounded(cpu.at(startedAt + gatewayBootMs) - before),
      answered_ms: answeredMs,
      answered_cpu_s: rounded(answeredCpuS),
      turn_cpu_s: rounded(turnCpuS),
      idle_cpu_s_per_minute: idleS === 0 ? null : await idle(cpu.now, idleS),
      memory_mb: memoryMb,
    };
  } finally {
    cpu.stop();
    await engine.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

async function runTurn(engine: ReturnType<typeof createEngine>, folder: string, turn: number): Promise<void> {
  await mkdir(folder);
  const session = await engine.openSession(`bench-${turn}`, folder, false);
  const result = await engine.runTurn(session, {
    text: "A message of ordinary length.",
    pictures: [],
    extraSystemPrompt: "",
    idempotencyKey: `bench:${turn}`,
    timeoutMs: TURN_TIMEOUT_MS,
    signal: AbortSignal.timeout(TURN_TIMEOUT_MS),
    setup: {
      messageId: `bench-${turn}`,
      tools: ["read", "write", "edit"],
      functions: [],
      bridge: { ok: false, error: "no bridge" },
    },
  });
  if (result.kind !== "answered") throw new Error(`A turn ended ${result.kind}: ${result.reason}`);
}

async function idle(cpuNow: () => number, seconds: number): Promise<number> {
  const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));
  await pause(SETTLE_MS);
  const before = cpuNow();
  await pause(seconds * 1_000);
  return rounded(((cpuNow() - before) / seconds) * 60);
}

const rounded = (value: number): number => Math.round(value * 100) / 100;

interface Spread {
  median: number;
  least: number;
  most: number;
}
type Figures = Record<string, Record<string, Spread>>;

function spreads(boots: readonly Boot[]): Record<string, Spread> {
  const names = Object.keys(boots[0] ?? {}) as Array<keyof Boot>;
  return Object.fromEntries(
    names.flatMap((name) => {
      const sorted = boots.flatMap((one) => one[name] ?? []).toSorted((a, b) => a - b);
      const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      return sorted.length === 0 ? [] : [[name, { median: at(0.5), least: at(0), most: at(1) }] as const];
    }),
  );
}

async function measure(
  trees: ReadonlyMap<string, string>,
  boots: number,
  size: Size,
  say: (line: string) => void,
): Promise<Figures> {
  const model = await startTestModel(() => ({ kind: "text", text: "A short answer." }));
  const taken = new Map([...trees.keys()].map((name) => [name, [] as Boot[]]));
  try {
    // The first boot of each fills the compile cache and counts for nothing.
    for (const tree of trees.values()) await boot(tree, model.url, { turns: 1, idleS: 0 });
    for (let round = 1; round <= boots; round += 1) {
      for (const [name, tree] of trees) {
        const one = await boot(tree, model.url, size);
        taken.get(name)?.push(one);
        say(`${name} ${round}: ${one.answered_cpu_s} CPU-seconds, ${one.answered_ms} ms to the first answer`);
      }
    }
  } finally {
    await model.close();
  }
  return Object.fromEntries([...taken].map(([name, all]) => [name, spreads(all)]));
}

const { values } = parseArgs({
  options: {
    boots: { type: "string", default: "5" },
    turns: { type: "string", default: "5" },
    "idle-s": { type: "string", default: "0" },
    against: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const [boots, turns, idleS] = [values.boots, values.turns, values["idle-s"]].map(Number);
if (!isCount(boots, 1) || !isCount(turns, 1) || !isCount(idleS, 0)) {
  process.stderr.write("--boots and --turns take whole numbers above 0, --idle-s one from 0.\n");
  process.exit(1);
}
const trees = new Map([["here", repositoryDir]]);
if (values.against !== undefined) trees.set("against", resolve(values.against));
const say = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};
const figures = await measure(trees, boots, { turns, idleS }, say);
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
for (const [name, spread] of Object.entries(figures)) {
  say(`\n${name.padEnd(22)} ${["median", "least", "most"].map((head) => head.padStart(9)).join(" ")}`);
  for (const [figure, { median, least, most }] of Object.entries(spread))
    say(`  ${figure.padEnd(20)} ${[median, least, most].map((one) => String(one).padStart(9)).join(" ")}`);
}

function isCount(value: number | undefined, least: number): value is number {
  return value !== undefined && Number.isInteger(value) && value >= least;
}
