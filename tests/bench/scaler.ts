/**
 * `npm run bench:scaler`: what the scaler asks of Fly for bursts, how long the first reply takes from each state of
 * the fleet, and what a day of traffic costs against an oracle that knows it in advance.
 *
 * Bursts and first replies run on real processes: the backend on the embedded deployment, machines on the embedded
 * Fly. The worker is a light one without an agent, so that what is measured is the scaler and not the model; how
 * long the genuine image takes to boot is bench:turn's figure. The day is a simulation of the policies.
 *
 * `--json` prints one JSON object and nothing else, with the units in its names.
 */
import { parseArgs } from "node:util";
import { parseRuntimeConfig, type RuntimeConfig } from "../../runtime/convex/policy/runtimeConfig.ts";
import { Cloud } from "../faults/cloud.ts";
import { dayOfTraffic } from "./dayTraffic.ts";
import { oracleMachineSeconds, simulateDay } from "./fleetDay.ts";

const RECONCILE_MS = 15_000;
const ROUNDS = 5;
const WORKER = "light worker (no agent; turns of 200 ms; looks for work every 150 ms)";
/** Monday, 23 November 2026. */
const MONDAY = Date.UTC(2026, 10, 23);
const DAY = {
  people: 200,
  peopleFew: 20,
  sittingsPerPerson: 4,
  seeds: [1, 2, 3, 4, 5],
  /** Boot of the genuine image with its probe turn, resume and suspension of a machine: assumed, not measured on Fly. */
  times: { bootMs: 20_000, resumeMs: 2_000, restMs: 3_000 },
};

type FirstReplyFrom = "cold" | "stopped" | "suspended" | "coming_to_rest" | "warm";

interface Burst {
  messages: number;
  conversations: number;
  took_ms: number;
  reconcile_intervals: number;
  lists: number;
  lists_per_interval: number;
  machines_created: number;
  fly_calls: Record<string, number>;
}
interface DayCost {
  policy: string;
  machine_seconds: number;
  oracle_machine_seconds: number;
  times_oracle: number;
  machines_max: number;
  creates: number;
  starts: number;
  kept: number;
  wait_p50_ms: number;
  wait_p95_ms: number;
  wait_p99_ms: number;
}
interface Figures {
  worker: string;
  reconcile_interval_ms: number;
  bursts: Burst[];
  first_reply_ms: Record<FirstReplyFrom, { median: number; min: number; max: number; rounds: number }>;
  /** By messages that came while the one worker was coming to rest. */
  machines_created_at_rest: number;
  days: DayCost[];
}

const answered = async (cloud: Cloud, what: string, withinMs = 180_000): Promise<void> => {
  await cloud.until(what, async () => await cloud.idle(), withinMs);
};

async function burst(conversations: number, messages: number): Promise<Burst> {
  const cloud = await Cloud.start({
    change: (config) => {
      config.scaling.maxWorkers = 10;
      config.scaling.jobsPerWorker = 4;
      config.scaling.reconcileIntervalMs = RECONCILE_MS;
    },
  });
  try {
    // What the set-up's own reconcile asks is not the burst's.
    await cloud.until("the loop rests", async () => (await cloud.living()).length === 0);
    await cloud.fly.call("DELETE", "/local/calls");
    const startedAt = performance.now();
    const writers = Array.from({ length: 10 }, async (_, writer) => {
      for (let i = writer; i < messages; i += 10) await cloud.write(`c${i % conversations}`, `m${i}`);
    });
    await Promise.all(writers);
    await answered(cloud, "every message of the burst is answered");
    const tookMs = Math.round(performance.now() - startedAt);
    const { calls } = (await cloud.fly.call("GET", `/local/calls?app=${cloud.app}`)).body as {
      calls: Array<{ operation: string; count: number }>;
    };
    const byOperation: Record<string, number> = {};
    for (const { operation, count } of calls) byOperation[operation] = (byOperation[operation] ?? 0) + count;
    const intervals = Math.ceil(tookMs / RECONCILE_MS);
    const lists = byOperation["Machines_list"] ?? 0;
    return {
      messages,
      conversations,
      took_ms: tookMs,
      reconcile_intervals: intervals,
      lists,
      lists_per_interval: lists / intervals,
      machines_created: byOperation["Machines_create"] ?? 0,
      fly_calls: byOperation,
    };
  } finally {
    await cloud.close();
  }
}

/** Machines that the app has ever been asked for. */
async function madeSoFar(cloud: Cloud): Promise<number> {
  const { calls } = (await cloud.fly.call("GET", `/local/calls?app=${cloud.app}`)).body as {
    calls: Array<{ operation: string; count: number }>;
  };
  return calls.reduce((sum, { operation, count }) => sum + (operation === "Machines_create" ? count : 0), 0);
}

async function firstReplies(): Promise<Pick<Figures, "first_reply_ms" | "machines_created_at_rest">> {
  const restsSoon = (mode: RuntimeConfig["scaling"]["warmPool"]["mode"]) => (config: RuntimeConfig) => {
    config.scaling.idleTimeoutMs = 1_000;
    config.scaling.warmPool.mode = mode;
  };
  const samples: Record<FirstReplyFrom, number[]> = {
    cold: [],
    stopped: [],
    suspended: [],
    coming_to_rest: [],
    warm: [],
  };
  let createdAtRest = 0;
  const cloud = await Cloud.start({ change: restsSoon("none") });
  let written = 0;
  const reply = async (from: FirstReplyFrom): Promise<void> => {
    const startedAt = performance.now();
    await cloud.write("c", `m${++written}`);
    await answered(cloud, `the first reply from ${from}`);
    samples[from].push(Math.round(performance.now() - startedAt));
  };
  /** As the backend's rows have it: Fly's machine may rest a moment before its row says so. */
  const fleet = async (): Promise<Array<{ state: string; machineState: string | null }>> =>
    (await cloud.run("query", "factory:workerStats", {})).workers;
  const onlyOneRests = async (machineState: string): Promise<boolean> => {
    const workers = await fleet();
    return (
      workers.length === 1 &&
      workers.every((row) => row.state === "warm" && row.machineState === machineState)
    );
  };
  const isComingToRest = async (): Promise<boolean> =>
    (await fleet()).some((row) => row.state === "draining");
  const nothingIsLeft = async (): Promise<void> => {
    await cloud.until("no worker is left", async () => (await fleet()).length === 0, 90_000);
  };
  /** Each kind of rest begins with a machine of its own. */
  const anewWith = async (mode: RuntimeConfig["scaling"]["warmPool"]["mode"]): Promise<void> => {
    await cloud.apply(cloud.changed(restsSoon("none")));
    await nothingIsLeft();
    await cloud.apply(cloud.changed(restsSoon(mode)));
    await cloud.write("c", `m${++written}`);
    await answered(cloud, "a worker for the warm pool");
  };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await nothingIsLeft();
      await reply("cold");
      // At once, while that worker still idles.
      await reply("warm");
    }
    for (let round = 0; round < ROUNDS; round++) {
      await anewWith("suspend");
      const before = await madeSoFar(cloud);
      await cloud.until("the worker comes to rest", isComingToRest, 90_000);
      await reply("coming_to_rest");
      createdAtRest += (await madeSoFar(cloud)) - before;
    }
    for (const [mode, state] of [
      ["suspend", "suspended"],
      ["stop", "stopped"],
    ] as const) {
      await anewWith(mode);
      for (let round = 0; round < ROUNDS; round++) {
        await cloud.until(`the machine is ${state}`, async () => await onlyOneRests(state), 90_000);
        await reply(state);
      }
    }
  } finally {
    await cloud.close();
  }
  const summary = (values: number[]) => {
    const sorted = values.toSorted((a, b) => a - b);
    const [min = 0] = sorted;
    return { median: sorted[sorted.length >> 1] ?? 0, min, max: sorted.at(-1) ?? 0, rounds: sorted.length };
  };
  return {
    first_reply_ms: {
      cold: summary(samples.cold),
      stopped: summary(samples.stopped),
      suspended: summary(samples.suspended),
      coming_to_rest: summary(samples.coming_to_rest),
      warm: summary(samples.warm),
    },
    machines_created_at_rest: createdAtRest,
  };
}

function scalingOf(change: (scaling: RuntimeConfig["scaling"]) => void): RuntimeConfig["scaling"] {
  const image = `registry.fly.io/app@sha256:${"0".repeat(64)}`;
  const parsed = parseRuntimeConfig({
    provider: { appName: "app", organizationSlug: "personal", image, regions: ["fra"], guest: {} },
    scaling: { maxWorkers: 50 },
  });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  change(parsed.config.scaling);
  return parsed.config.scaling;
}

/** Mean over the seeds; waits over all of their messages. */
function day(policy: string, scaling: RuntimeConfig["scaling"], people = DAY.people): DayCost {
  const runs = DAY.seeds.map((seed) => {
    const traffic = dayOfTraffic(seed, people, DAY.sittingsPerPerson);
    const oracle = oracleMachineSeconds(traffic, scaling.jobsPerWorker, DAY.times);
    return { ...simulateDay(traffic, scaling, DAY.times, MONDAY), oracle };
  });
  const mean = (pick: (run: (typeof runs)[number]) => number): number =>
    Math.round(runs.reduce((sum, run) => sum + pick(run), 0) / runs.length);
  const waits = runs.flatMap((run) => run.waitsMs).sort((a, b) => a - b);
  const percentile = (share: number): number => waits[Math.floor(share * (waits.length - 1))] ?? 0;
  const spent = mean((run) => run.machineSeconds);
  const oracle = mean((run) => run.oracle);
  return {
    policy,
    machine_seconds: spent,
    oracle_machine_seconds: oracle,
    times_oracle: Math.round((spent / oracle) * 100) / 100,
    machines_max: Math.max(...runs.map((run) => run.machinesMax)),
    creates: mean((run) => run.creates),
    starts: mean((run) => run.starts),
    kept: mean((run) => run.kept),
    wait_p50_ms: percentile(0.5),
    wait_p95_ms: percentile(0.95),
    wait_p99_ms: percentile(0.99),
  };
}

function days(): DayCost[] {
  return [
    day(
      "defaults",
      scalingOf(() => undefined),
    ),
    day(
      "idleTimeoutMs 60000",
      scalingOf((scaling) => (scaling.idleTimeoutMs = 60_000)),
    ),
    // Few people let workers rest often, so that messages meet them on their way.
    day(
      `${DAY.peopleFew} people, idleTimeoutMs 60000`,
      scalingOf((scaling) => (scaling.idleTimeoutMs = 60_000)),
      DAY.peopleFew,
    ),
    day(
      "no warm pool",
      scalingOf((scaling) => (scaling.warmPool.mode = "none")),
    ),
    day(
      "warmPool.size 5",
      scalingOf((scaling) => (scaling.warmPool.size = 5)),
    ),
  ];
}

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const say = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};
const row = (...cells: Array<string | number>): string =>
  cells.map((cell, index) => (index === 0 ? String(cell).padEnd(34) : String(cell).padStart(14))).join("");

say(`Real processes, ${WORKER}; at most one list per ${RECONCILE_MS} ms\n`);
const bursts: Burst[] = [];
say(row("burst", "took ms", "intervals", "lists", "per interval", "creates"));
for (const [conversations, messages] of [
  [1, 20],
  [200, 200],
] as const) {
  const found = await burst(conversations, messages);
  bursts.push(found);
  const name = `${messages} messages, ${conversations} conversation${conversations === 1 ? "" : "s"}`;
  say(
    row(
      name,
      found.took_ms,
      found.reconcile_intervals,
      found.lists,
      found.lists_per_interval.toFixed(2),
      found.machines_created,
    ),
  );
  for (const [operation, count] of Object.entries(found.fly_calls)) say(row(`  ${operation}`, "", "", count));
}
const firstReply = await firstReplies();
say(`\n${row("first message to first reply", "median ms", "min ms", "max ms", "rounds")}`);
for (const [from, { median, min, max, rounds }] of Object.entries(firstReply.first_reply_ms))
  say(row(from === "warm" ? "warm (a worker idles)" : from.replaceAll("_", " "), median, min, max, rounds));
say(
  `machines made by the messages that came while one was coming to rest: ${firstReply.machines_created_at_rest}`,
);
const costs = days();
say(
  `\nSimulated day: ${DAY.people} people, ${DAY.sittingsPerPerson} sittings of 5 messages, boot ${DAY.times.bootMs} ms, resume ${DAY.times.resumeMs} ms, suspension ${DAY.times.restMs} ms, mean of ${DAY.seeds.length} seeds`,
);
say(row("policy", "machine s", "oracle s", "× oracle", "machines", "creates", "p50 wait ms", "p95", "p99"));
for (const cost of costs)
  say(
    row(
      cost.policy,
      cost.machine_seconds,
      cost.oracle_machine_seconds,
      cost.times_oracle.toFixed(2),
      cost.machines_max,
      cost.creates,
      cost.wait_p50_ms,
      cost.wait_p95_ms,
      cost.wait_p99_ms,
    ),
  );
if (values.json) {
  const figures: Figures = {
    worker: WORKER,
    reconcile_interval_ms: RECONCILE_MS,
    bursts,
    ...firstReply,
    days: costs,
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}
