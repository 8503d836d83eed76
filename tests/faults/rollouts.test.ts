/**
 * Rollouts under load, on two environments that share one Fly: what one of them does to its machines, good or bad,
 * the other never sees. The environments' own tests run at the same time.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, startHarness } from "../../local/fly/testing/harness.ts";
import { Cloud } from "./fleet/cloud.ts";
import { Crowd } from "./fleet/crowd.ts";
import { imagesInUse, interruptedTurns, rolloutEnd, rolloutStatus } from "./fleet/rollout.ts";
import { FleetWatch } from "./fleet/watch.ts";

const MAX_WORKERS = 3;
/** Longer than `drain.drainTimeoutMs`: a drain that broke turns off would show. */
const TURN_MS_MAX = 2_500;

let fly: Harness;
let steady: Cloud;
let unlucky: Cloud;
const watches = new Map<Cloud, FleetWatch>();

const environment = async (name: string): Promise<Cloud> =>
  await Cloud.start({
    name,
    fly,
    config: {
      scaling: { maxWorkers: MAX_WORKERS },
      retry: {},
      rollout: { gateTurnsMin: 3, gateObserveMs: 20_000, gateTimeoutMs: 90_000 },
    },
  });

beforeAll(async () => {
  fly = await startHarness({ destroyedVisibleMs: 500 });
  steady = await environment("steady");
  unlucky = await environment("unlucky");
  for (const cloud of [steady, unlucky]) watches.set(cloud, new FleetWatch(cloud));
});
afterAll(async () => {
  await unlucky?.close();
  await steady?.close();
  await fly?.close();
});

/** People write while `change` goes on; afterwards everything that was written is answered. */
async function underLoad<T>(cloud: Cloud, firstId: number, change: () => Promise<T>) {
  const crowd = new Crowd(cloud, { firstId, people: 5, turnMsMax: TURN_MS_MAX });
  const before = await interruptedTurns(cloud);
  crowd.begin();
  await cloud.until(
    "the load is there",
    async () => (await cloud.run("query", "queueStats")).processing >= 3,
  );
  const outcome = await change();
  await crowd.stop();
  await crowd.settled();
  const after = await interruptedTurns(cloud);
  const account = await crowd.account();
  const interrupted = { released: after.released - before.released, failed: after.failed - before.failed };
  return { outcome, account, interrupted };
}

describe.concurrent("rollouts of two environments at once", () => {
  test("a good image replaces the former one, and no turn fails, is broken off or begun twice", async () => {
    const image = await steady.pushImage("good");
    const startedAt = performance.now();
    const { outcome, account, interrupted } = await underLoad(steady, 7_000, async () =>
      rolloutEnd(steady, await steady.rollOut(image)),
    );
    process.stdout.write(
      `good image: ${outcome.reason ?? outcome.phase} after ${Math.round(performance.now() - startedAt)} ms, ` +
        `${account.messages} messages meanwhile\n`,
    );
    expect(outcome).toMatchObject({ phase: "done", workersOld: 0, image });
    expect(await imagesInUse(steady)).toEqual(new Set([image]));
    expect(interrupted).toEqual({ released: 0, failed: 0 });
    expect(account).toMatchObject({ retried: [], unknown: 0 });

    const overtaken = await steady.pushImage("overtaken", "crashesAtBoot");
    const final = await steady.pushImage("final");
    const second = await underLoad(steady, 7_100, async () => {
      const first = await steady.rollOut(overtaken);
      await steady.until("the first rollout has made a machine", async () =>
        (await imagesInUse(steady)).has(overtaken),
      );
      const end = await rolloutEnd(steady, await steady.rollOut(final));
      return { first: await rolloutStatus(steady, first), end };
    });
    expect(second.outcome.first).toMatchObject({ phase: "superseded", finished: true });
    expect(second.outcome.end).toMatchObject({ phase: "done", image: final });
    expect(await imagesInUse(steady)).toEqual(new Set([final]));
    expect(second.interrupted).toEqual({ released: 0, failed: 0 });
    expect(second.account).toMatchObject({ retried: [], unknown: 0 });
    await watches.get(steady)?.end(MAX_WORKERS);
  });

  test("an image that crashes at boot, and one that fails every turn, are rolled back by themselves", async () => {
    const good = await imagesInUse(unlucky);
    expect(good.size).toBeLessThanOrEqual(1);
    const crashing = await unlucky.pushImage("crashing", "crashesAtBoot");
    const crashed = await underLoad(unlucky, 8_000, async () =>
      rolloutEnd(unlucky, await unlucky.rollOut(crashing)),
    );
    expect(crashed.outcome).toMatchObject({ phase: "rolled_back", image: crashing });
    expect(crashed.outcome.reason).toMatch(/^2 workers with the new image did not come up: .*ended/);
    expect(crashed.account).toMatchObject({ retried: [], unknown: 0 });
    expect(crashed.interrupted).toEqual({ released: 0, failed: 0 });

    const failing = await unlucky.pushImage("failing", "failsTurns");
    const failed = await underLoad(unlucky, 8_100, async () =>
      rolloutEnd(unlucky, await unlucky.rollOut(failing)),
    );
    expect(failed.outcome).toMatchObject({ phase: "rolled_back", image: failing });
    expect(failed.outcome.reason).toMatch(/^\d+ of \d+ turns failed on the new workers/);
    expect(failed.account.unknown).toBe(0);
    expect(failed.account.retried.length).toBe(failed.interrupted.failed);
    await unlucky.until("no worker of the failing image is left", async () => {
      return !(await imagesInUse(unlucky)).has(failing);
    });
    process.stdout.write(
      `rolled back: ${crashed.outcome.reason}; ${failed.outcome.reason}; ` +
        `${failed.interrupted.failed} failed turns were run again elsewhere\n`,
    );
    await watches.get(unlucky)?.end(MAX_WORKERS);
  });
});

test("neither environment has seen or touched a machine of the other", async () => {
  for (const [cloud, other] of [
    [steady, unlucky],
    [unlucky, steady],
  ] as const) {
    const own = new Set((await cloud.backend.table("workers")).map(({ workerId }) => workerId as string));
    expect(own.size).toBeGreaterThan(2);
    for (const name of watches.get(cloud)?.seen ?? []) expect(own).toContain(name);
    for (const name of watches.get(other)?.seen ?? []) expect(own).not.toContain(name);
    const lost = (await cloud.backend.table("workers")).filter(({ machineId }) => machineId === undefined);
    expect(lost).toEqual([]);
    const { body } = await fly.call("GET", `/v1/apps/${cloud.app}/machines`);
    for (const machine of body) expect(machine.config.metadata.factory_owner).toBe(cloud.owner);
  }
});

test("a deployment whose config names the app of another refuses, says so, and leaves its machines alone", async () => {
  const machines = await steady.machines();
  const intruder = await Cloud.start({ name: "intruder", fly, app: steady.app });
  try {
    await new Crowd(intruder).write(9_000);
    await intruder.until("the refusal is told", async () => {
      const { problems } = (await intruder.run("action", "doctor")) as { problems: unknown[] };
      return JSON.stringify(problems).includes("does not own the Fly app");
    });
    expect(await intruder.backend.table("workers")).toEqual([]);
    expect((await steady.machines()).map(({ id }) => id)).toEqual(machines.map(({ id }) => id));
  } finally {
    await intruder.close();
  }
});
