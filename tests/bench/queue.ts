/**
 * `npm run bench:queue`: what the queue's calls read and write at growing backlogs, what an answered message costs,
 * and how many turns a second one and eight claimers get through, on the embedded deployment over HTTP. `--json`
 * prints one JSON object and nothing else; `--full` adds the backlog of 100,000.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Claim, WorkerCredential } from "../../runtime/convex/validators.ts";
import { ROOT, until } from "../deployment/backend.ts";
import { enqueueArgs, Factory } from "../deployment/factory.ts";
import type { CallMetrics, FunctionKind, Wire } from "../deployment/wire.ts";

const SAMPLES = 5;
const SEED_BATCH = 250;
const DEAD_WORKERS = 500;
const CLAIMERS = 8;
/** The largest that a runtime config may allow for one conversation. */
const BACKLOG_MAX = 100_000;
const ANSWERED = 20;

type Scenario = "distinct" | "distinct, 500 dead workers" | "one locked, one free";
/** Largest figure among the samples of a call. */
type Cost = CallMetrics & { readonly samples: number };
type Costs = Record<string, Cost>;

interface Figures {
  cost_per_call: Record<string, Record<number, Costs>>;
  calls_per_answered_message: { worker: number; functions: Record<string, number> };
  turns_per_s: Record<string, number>;
  seeded_messages_per_s: number;
}

/** The backend as it is, and beside it the one module that fills it. */
function benchCopy(): { root: string; remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), "af-bench-"));
  cpSync(join(ROOT, "runtime/convex"), join(root, "runtime/convex"), { recursive: true });
  mkdirSync(join(root, "tests/bench"), { recursive: true });
  for (const file of ["convex.json", "package.json", "tests/bench/queueSeed.ts"])
    cpSync(join(ROOT, file), join(root, file));
  writeFileSync(
    join(root, "runtime/convex/benchSeed.ts"),
    `export * from "../../tests/bench/queueSeed.ts";\n`,
  );
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** Calls as an admin and keeps the largest cost of each function. */
class Meter {
  readonly costs: Costs = {};
  readonly #wire: Wire;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  // Results are read where the function has just been named.
  // oxlint-disable-next-line no-explicit-any
  async call(kind: FunctionKind, path: string, args: object, label = path): Promise<any> {
    const { value, metrics } = await this.#wire.call(kind, path, args);
    if (metrics === null) throw new Error("the deployment told no metrics: is this the admin's key?");
    const before = this.costs[label];
    this.costs[label] = {
      documentsRead: Math.max(metrics.documentsRead, before?.documentsRead ?? 0),
      documentsWritten: Math.max(metrics.documentsWritten, before?.documentsWritten ?? 0),
      bytesRead: Math.max(metrics.bytesRead, before?.bytesRead ?? 0),
      bytesWritten: Math.max(metrics.bytesWritten, before?.bytesWritten ?? 0),
      samples: (before?.samples ?? 0) + 1,
    };
    return value;
  }
}

let claims = 0;
const freshKey = (): string => `bench-${++claims}`;
const leaseOf = ({ messageId, leaseId }: Claim): object => ({ messageId, leaseId });
const ANSWER = { answer: { text: "ok" }, history: [{ role: "assistant", content: "ok" }] };

async function seed(factory: Factory, from: number, to: number, conversation: string | null): Promise<void> {
  await factory.backend.call("mutation", "benchSeed:showFreeSlots", { free: false });
  for (let at = from; at < to; at += SEED_BATCH) {
    const count = Math.min(SEED_BATCH, to - at);
    await factory.backend.call("mutation", "benchSeed:messages", { from: at, count, conversation });
  }
  await factory.backend.call("mutation", "benchSeed:showFreeSlots", { free: true });
}

/** Every call of the queue, some times, with the backlog as it is. */
async function sample(wire: Wire, credential: WorkerCredential, scenario: Scenario): Promise<Costs> {
  const meter = new Meter(wire);
  const claimOne = async (): Promise<object> => {
    const claim = await meter.call("mutation", "worker:claim", { credential, claimKey: freshKey() });
    if (claim === null) throw new Error(`${scenario}: nothing to claim`);
    return { credential, ...leaseOf(claim as Claim) };
  };
  for (let round = 0; round < SAMPLES; round++) {
    for (const end of ["complete", "fail", "release"]) {
      const text = freshKey();
      await meter.call("mutation", "factory:enqueue", enqueueArgs(`free-${text}`, text));
      if (scenario === "one locked, one free")
        await meter.call(
          "mutation",
          "factory:enqueue",
          enqueueArgs("locked", text),
          "enqueue behind the lock",
        );
      const turn = await claimOne();
      await meter.call("query", "worker:getHydrationBundle", turn);
      await meter.call("mutation", "worker:heartbeat", turn);
      if (end === "complete") await meter.call("mutation", "worker:complete", { ...turn, ...ANSWER });
      if (end === "fail")
        await meter.call("mutation", "worker:fail", { ...turn, errorMessage: "x", errorKind: "permanent" });
      if (end === "release") {
        await meter.call("mutation", "worker:release", { ...turn, reason: "bench" });
        const again = await claimOne();
        await meter.call("mutation", "worker:complete", { ...again, ...ANSWER });
      }
    }
  }
  await meter.call("query", "factory:queueStats", {});
  return meter.costs;
}

async function claimAndAnswer(wire: Wire, credential: WorkerCredential): Promise<boolean> {
  const claim = (await wire.call("mutation", "worker:claim", { credential, claimKey: freshKey() }))
    .value as Claim | null;
  if (claim === null) return false;
  const turn = { credential, ...leaseOf(claim) };
  await wire.call("query", "worker:getHydrationBundle", turn);
  return (await wire.call("mutation", "worker:complete", { ...turn, ...ANSWER })).value === true;
}

/** Turns a second: claim, hydrate, complete. */
async function throughput(factory: Factory, claimers: number, durationMs: number): Promise<number> {
  const wire = factory.backend.wire(false);
  const started = performance.now();
  let turns = 0;
  await Promise.all(
    factory.workers.slice(0, claimers).map(async (worker) => {
      while (performance.now() - started < durationMs) if (await claimAndAnswer(wire, worker)) turns += 1;
    }),
  );
  wire.close();
  return Math.round((turns / (performance.now() - started)) * 1_000);
}

/** Runs of each function per message, from the webhook to the sent answer, on an otherwise idle deployment. */
async function answeredMessages(factory: Factory): Promise<Figures["calls_per_answered_message"]> {
  const wire = factory.backend.wire(false);
  const before = await factory.backend.metrics();
  for (let index = 0; index < ANSWERED; index++) {
    await factory.deliverUpdate(1_000 + index, 5_000 + index, `hello ${index}`);
    const worker = factory.workers[index % CLAIMERS];
    if (worker === undefined || !(await claimAndAnswer(wire, worker))) throw new Error("not answered");
  }
  await until("the answers are sent", async () => factory.machines.sent >= ANSWERED);
  const after = await factory.backend.metrics();
  wire.close();
  const functions: Record<string, number> = {};
  for (const [name, { calls }] of Object.entries(after)) {
    const runs = calls - (before[name]?.calls ?? 0);
    // What operators and this bench ask is not part of a message's cost.
    if (runs > 0 && !name.startsWith("_system")) functions[name] = runs / ANSWERED;
  }
  const worker = Object.entries(functions).filter(([name]) => /^worker(\.js)?:/.test(name));
  return { worker: worker.reduce((sum, [, runs]) => sum + runs, 0), functions };
}

async function measure(
  sizes: readonly number[],
  durationMs: number,
  say: (line: string) => void,
): Promise<Figures> {
  const copy = benchCopy();
  const figures: Figures = {
    cost_per_call: {},
    calls_per_answered_message: { worker: 0, functions: {} },
    turns_per_s: {},
    seeded_messages_per_s: 0,
  };
  const config = {
    queue: { conversationBacklogMax: BACKLOG_MAX },
    lease: { leaseMs: 3_600_000, heartbeatIntervalMs: 60_000 },
    scaling: { jobsPerWorker: 64, reconcileIntervalMs: 3_600_000, workerLostAfterMs: 3_600_000 },
  };
  const note = (scenario: Scenario, size: number, costs: Costs): void => {
    (figures.cost_per_call[scenario] ??= {})[size] = costs;
    for (const [call, cost] of Object.entries(costs)) {
      const { documentsRead, documentsWritten, bytesRead, bytesWritten } = cost;
      say(
        `${scenario.padEnd(27)} ${String(size).padStart(7)}  ${call.padEnd(27)} ${String(documentsRead).padStart(5)} ${String(documentsWritten).padStart(6)} ${String(bytesRead).padStart(9)} ${String(bytesWritten).padStart(9)}`,
      );
    }
  };
  say(
    `${"scenario".padEnd(27)} ${"backlog".padStart(7)}  ${"call".padEnd(27)} ${"docs".padStart(5)} ${"writes".padStart(6)} ${"B read".padStart(9)} ${"B written".padStart(9)}`,
  );
  try {
    await withFactory(copy.root, config, async (factory, wire, worker) => {
      figures.calls_per_answered_message = await answeredMessages(factory);
      let seeded = 0;
      let seedingMs = 0;
      for (const size of sizes) {
        const from = performance.now();
        await seed(factory, seeded, size, null);
        seedingMs += performance.now() - from;
        seeded = size;
        note("distinct", size, await sample(wire, worker, "distinct"));
      }
      figures.seeded_messages_per_s = Math.round((seeded / seedingMs) * 1_000);
      await factory.backend.call("mutation", "benchSeed:deadWorkers", { count: DEAD_WORKERS });
      const scenario = "distinct, 500 dead workers";
      note(scenario, seeded, await sample(wire, worker, scenario));
      for (const claimers of [1, CLAIMERS])
        figures.turns_per_s[claimers] = await throughput(factory, claimers, durationMs);
    });
    await withFactory(copy.root, config, async (factory, wire, worker) => {
      const scenario = "one locked, one free";
      await seed(factory, 0, 1, "locked");
      const meter = new Meter(wire);
      let holder: Claim = await meter.call("mutation", "worker:claim", {
        credential: worker,
        claimKey: freshKey(),
      });
      let seeded = 1;
      for (const size of sizes) {
        // Room below queue.conversationBacklogMax for what the samples add.
        const target = Math.min(size, BACKLOG_MAX - 1_000);
        await seed(factory, seeded, target, "locked");
        seeded = target;
        const costs = await sample(wire, worker, scenario);
        // The turn of the long conversation itself ends, and its next one begins.
        const own = new Meter(wire);
        const ended = { credential: worker, ...leaseOf(holder), ...ANSWER };
        await own.call("mutation", "worker:complete", ended, "complete the locked one");
        const next = { credential: worker, claimKey: freshKey() };
        holder = await own.call("mutation", "worker:claim", next, "claim its next message");
        note(scenario, size, { ...costs, ...own.costs });
      }
    });
  } finally {
    copy.remove();
  }
  const { worker, functions } = figures.calls_per_answered_message;
  say(`\ncalls of a worker per answered message: ${worker}`);
  for (const [name, runs] of Object.entries(functions)) say(`  ${name.padEnd(45)} ${runs}`);
  for (const [claimers, rate] of Object.entries(figures.turns_per_s))
    say(`${claimers} claimers: ${rate} turns/s`);
  return figures;
}

async function withFactory(
  root: string,
  config: NonNullable<Parameters<typeof Factory.start>[0]["config"]>,
  act: (factory: Factory, wire: Wire, worker: WorkerCredential) => Promise<void>,
): Promise<void> {
  const factory = await Factory.start({ workers: CLAIMERS, config, root });
  const wire = factory.backend.wire(true);
  try {
    const [worker] = factory.workers;
    if (worker === undefined) throw new Error("no worker was made");
    await act(factory, wire, worker);
  } finally {
    wire.close();
    await factory.close();
  }
}

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    "duration-ms": { type: "string", default: "3000" },
  },
});
const durationMs = Number(values["duration-ms"]);
if (!Number.isInteger(durationMs) || durationMs < 1) {
  process.stderr.write("--duration-ms takes one whole number above 0.\n");
  process.exit(1);
}
const sizes = [10, 1_000, 10_000, ...(values.full ? [100_000] : [])];
const figures = await measure(sizes, durationMs, (line) => {
  if (!values.json) process.stdout.write(`${line}\n`);
});
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
