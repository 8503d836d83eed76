/** One seeded run: faults for a while, invariants checked after every step; then a good day until all is done. */
import { createHash } from "node:crypto";
import { Fleet, SLOTS } from "./fleet.ts";
import { brokenInvariants } from "./invariants.ts";
import { Timers } from "./timers.ts";
import { Traffic } from "./traffic.ts";
import { World } from "./world.ts";

export type RunResult = {
  seed: number;
  /** Empty: the run held every invariant and everything drained. */
  problems: string[];
  trace: string[];
  calls: number;
  messages: number;
  maxReads: Record<string, number>;
};

const STEPS = 140;
const DRAIN_STEPS_MAX = 4_000;
/** A good day may last this long, ms: everything must have drained by then. */
const DRAIN_MS_MAX = 45 * 60_000;

type Run = { world: World; fleet: Fleet; traffic: Traffic; timers: Timers };

async function setUp({ world, fleet }: Run): Promise<void> {
  await world.backend.call("config/apply:applyRuntimeConfig", {
    config: {
      provider: {
        appName: "app",
        organizationSlug: "org",
        image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
        regions: ["fra"],
      },
      scaling: { jobsPerWorker: SLOTS },
      turn: { turnTimeoutMs: 60_000 },
    },
    expectedRevision: null,
    owner: "agent-factory/sim",
    actor: "sim",
  });
  await world.backend.call("hydration/agents:configureAgent", {
    agentKey: "support",
    version: "1",
    soulMd: "You help.",
    skills: [],
    secretsRef: [],
    enabled: true,
  });
  await fleet.setUp();
}

function check(world: World): void {
  world.oracle.problems.push(...brokenInvariants(world.backend));
}

function failed(world: World): boolean {
  return world.oracle.problems.length > 0;
}

async function faultyPhase({ world, fleet, traffic, timers }: Run): Promise<void> {
  const { random } = world;
  for (let step = 0; step < STEPS && !failed(world); step += 1) {
    world.clock += random.chance(0.05) ? random.below(60_000) : random.below(3_000);
    await timers.runDue();
    fleet.loseSome();
    await fleet.replaceDead(false);
    const dice = random.next();
    if (dice < 0.25) await traffic.arrive();
    else if (dice < 0.31) await traffic.operate();
    else if (dice < 0.36 && fleet.ghosts.length > 0) await random.pick(fleet.ghosts).step();
    else if (fleet.workers.length > 0) await random.pick(fleet.workers).step();
    check(world);
  }
}

async function goodDay(run: Run): Promise<void> {
  const { world, fleet, timers } = run;
  if (failed(world)) return;
  world.note("faults stop");
  world.stopFaults();
  await fleet.replaceDead(true);
  for (const { conversationId } of world.backend.db.all("conversations")) {
    await world.backend.call("queue/pause:resumeConversation", { conversationId });
  }
  const until = world.clock + DRAIN_MS_MAX;
  for (let step = 0; step < DRAIN_STEPS_MAX && !failed(world); step += 1) {
    await timers.runDue();
    fleet.loseSome();
    await fleet.replaceDead(true);
    for (const worker of fleet.workers) await worker.step();
    check(world);
    if (world.oracle.lost().length === 0) break;
    const next = nextEventAt(run);
    if (next > until) break;
    world.clock = Math.max(world.clock + 1, next);
  }
  for (const id of world.oracle.lost()) world.oracle.problems.push(`lost: ${id} never ended`);
}

function nextEventAt({ fleet, timers }: Run): number {
  return Math.min(timers.nextAt(), ...fleet.workers.map((worker) => worker.nextAt()));
}

function hashNow(data: BufferSource): ArrayBuffer {
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : data;
  return new Uint8Array(createHash("sha256").update(new Uint8Array(bytes)).digest()).buffer;
}

/** Runs one seed. Everything in it, time and randomness included, follows from the seed. */
export async function simulate(seed: number): Promise<RunResult> {
  const realNow = Date.now;
  const realRandom = Math.random;
  const realDigest = crypto.subtle.digest.bind(crypto.subtle);
  const world = new World(seed);
  const fleet = new Fleet(world);
  const traffic = new Traffic(world, fleet);
  const run: Run = { world, fleet, traffic, timers: new Timers(world) };
  Date.now = () => world.clock;
  Math.random = () => world.random.next();
  // Node's digest crosses a thread pool, which would be most of a run; the same hash, computed here.
  crypto.subtle.digest = async (_algorithm, data) => hashNow(data);
  try {
    await setUp(run);
    await faultyPhase(run);
    await goodDay(run);
  } catch (error) {
    world.oracle.problems.push(
      `threw: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  } finally {
    Date.now = realNow;
    Math.random = realRandom;
    crypto.subtle.digest = realDigest;
  }
  return {
    seed,
    problems: world.oracle.problems.slice(0, 20),
    trace: world.trace,
    calls: world.calls,
    messages: traffic.messages,
    maxReads: world.oracle.maxReads,
  };
}
