/** A seeded storm over the fleet: failing calls, lost answers, dying actions, killed and hung workers. */
import { expect } from "vitest";
import type { ProviderFailure } from "../../runtime/convex/policy/providerErrors.ts";
import { configOf, imageOf, type World } from "./world.ts";

/** Small seeded generator (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const FAILURES: Array<{ failure: ProviderFailure; mayHaveActed: boolean }> = [
  { failure: { kind: "unknown" }, mayHaveActed: true },
  { failure: { kind: "unknown" }, mayHaveActed: true },
  { failure: { kind: "rate_limited", retryAfterMs: null }, mayHaveActed: false },
  { failure: { kind: "busy" }, mayHaveActed: false },
  { failure: { kind: "secrets_pending" }, mayHaveActed: false },
  { failure: { kind: "unreachable" }, mayHaveActed: false },
  { failure: { kind: "no_capacity", scope: "region" }, mayHaveActed: false },
  { failure: { kind: "quota" }, mayHaveActed: false },
  { failure: { kind: "rejected" }, mayHaveActed: false },
];

export const MAX_WORKERS = 3;

export const stormConfig = () =>
  configOf((config) => {
    config.scaling.maxWorkers = MAX_WORKERS;
    config.scaling.idleTimeoutMs = 10_000;
    config.scaling.reconcileIntervalMs = 5_000;
    config.scaling.missingMachineGraceMs = 20_000;
    config.scaling.bootTimeoutMs = 30_000;
    config.scaling.warmPool.stoppedTtlMs = 60_000;
    config.retry.maxAttempts = 50;
    config.retry.maxDelayMs = 10_000;
  });

/** What a storm has done: faults by kind (`<kind>` refused, `<kind>, acted` with the answer lost), and the rest. */
export interface StormReport {
  faults: number;
  byKind: Map<string, number>;
  answered: number;
  /** Most machines at any step. */
  machinesMax: number;
}

/**
 * Runs until so many faults were injected, checking the ceiling after every step; then lets the weather clear and
 * checks that every message ended and that rows and machines tell the same story.
 */
export async function weather(world: World, seed: number, faultsWanted: number): Promise<StormReport> {
  const random = seeded(seed);
  const seen: StormReport = { faults: 0, byKind: new Map(), answered: 0, machinesMax: 0 };
  const count = (kind: string): void => {
    seen.faults += 1;
    seen.byKind.set(kind, (seen.byKind.get(kind) ?? 0) + 1);
  };
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 1_500, fails: false });
  world.checks.push(async () => {
    seen.machinesMax = Math.max(seen.machinesMax, world.provider.living.length);
    expect(world.provider.living.length, `seed ${seed}: machines`).toBeLessThanOrEqual(MAX_WORKERS);
  });
  world.checks.push(async () => {
    // Machines are suspended by our orders alone.
    const suspended = world.provider.living.filter((machine) => machine.state === "suspended");
    const ids = new Set(suspended.map((machine) => machine.machineId));
    const working = (await world.live()).filter((row) => row.load > 0 && ids.has(row.machineId ?? ""));
    expect(working, `seed ${seed}: suspended at work`).toEqual([]);
  });
  world.provider.fault = (operation) => {
    if (operation === "verifyOwner" || random() > 0.35) return null;
    const acts = random() < 0.5;
    // Not a provider's error: the action itself dies at this await, before or after the provider has acted.
    if (random() < 0.15) {
      count(acts ? "action died after the call" : "action died before the call");
      return { failure: { kind: "unknown" }, acts, dies: true };
    }
    const { failure, mayHaveActed } = FAILURES[Math.floor(random() * FAILURES.length)] ?? {
      failure: { kind: "unknown" as const },
      mayHaveActed: true,
    };
    count(acts && mayHaveActed ? "answer lost after acting" : failure.kind);
    return { failure, acts: acts && mayHaveActed };
  };
  let written = 0;
  for (let step = 0; step < 20_000; step++) {
    if (seen.faults >= faultsWanted) break;
    if (random() < 0.25) await world.write(`c${Math.floor(random() * 12)}`, `m${++written}`);
    const machines = world.provider.living.filter((machine) => machine.state === "started");
    const victim = machines[Math.floor(random() * machines.length)];
    const event = random();
    if (victim !== undefined && event < 0.02) {
      count("worker killed");
      world.kill(victim.machineId);
    } else if (victim !== undefined && event < 0.03) {
      count("worker hung");
      world.hang(victim.machineId);
    } else if (victim !== undefined && event < 0.035) {
      count("machine vanished");
      world.provider.machines.delete(victim.machineId);
    }
    // Long lulls let workers idle, rest and end under faults too.
    await world.advance(random() < 0.02 ? 40_000 : 1_000, 1_000);
  }
  world.provider.fault = () => null;
  await world.until(
    async () => (await world.messages()).every((message) => ["done", "dead_letter"].includes(message.status)),
    900_000,
  );
  await world.advance(300_000, 1_000);
  await checkSettled(world, seed);
  seen.answered = (await world.messages()).length;
  return seen;
}

/** No orphan, no live row without its machine, nothing given up for the platform's sake. */
async function checkSettled(world: World, seed: number): Promise<void> {
  const live = await world.live();
  const machines = world.provider.living;
  const rowIds = new Set(live.map((row) => row.machineId));
  expect(rowIds.size, `seed ${seed}: rows`).toBe(live.length);
  expect(rowIds, `seed ${seed}: rows`).toEqual(new Set(machines.map((machine) => machine.machineId)));
  const messages = await world.messages();
  expect(
    messages.filter((message) => message.status !== "done"),
    `seed ${seed}: not answered`,
  ).toEqual([]);
}
