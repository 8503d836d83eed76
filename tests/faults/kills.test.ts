/**
 * Workers that are real processes, killed under load; then the backend, then the way to Fly. Whatever dies, every
 * message is answered once and in order. SCALER_KILLS sets how often each is killed.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cloud } from "./fleet/cloud.ts";
import { type Account, Crowd, type CrowdOptions } from "./fleet/crowd.ts";
import { type Kill, killBusyWorker, tellRecovery } from "./fleet/kill.ts";
import { FleetWatch } from "./fleet/watch.ts";

const KILLS = Number(process.env["SCALER_KILLS"] ?? "3");
const BACKEND_KILLS = Math.ceil(KILLS / 2);
const MAX_WORKERS = 4;
const JOBS_PER_WORKER = 3;

let started: Cloud | undefined;
beforeAll(async () => {
  started = await Cloud.start({
    config: { scaling: { maxWorkers: MAX_WORKERS, jobsPerWorker: JOBS_PER_WORKER } },
  });
});
afterAll(async () => {
  await started?.close();
});

/** People write while `fault` does its work; afterwards both sides of the fleet agree and nothing is lost. */
async function underLoad(
  options: CrowdOptions,
  fault: (cloud: Cloud, crowd: Crowd) => Promise<void>,
): Promise<Account> {
  if (started === undefined) throw new Error("the environment did not start");
  const cloud = started;
  const watch = new FleetWatch(cloud);
  const crowd = new Crowd(cloud, options);
  crowd.begin();
  await fault(cloud, crowd);
  await crowd.stop();
  await crowd.settled();
  await watch.end(MAX_WORKERS);
  return await crowd.account();
}

test("workers killed by SIGKILL in mid-turn: their messages go to others, nothing is lost or doubled", async () => {
  const kills: Kill[] = [];
  const account = await underLoad({ firstId: 7_000 }, async (cloud) => {
    while (kills.length < KILLS) kills.push(await killBusyWorker(cloud, "crash"));
  });
  await tellRecovery(started!, "SIGKILL of a worker", kills);
  expect(account.unknown).toBe(0);
  expect(account.retried.length).toBeGreaterThan(0);
  expect(account.retried.length, account.retried.join("\n")).toBeLessThanOrEqual(KILLS * JOBS_PER_WORKER);
});

test("workers told to stop in mid-turn hand their turns over without spending an attempt", async () => {
  const kills: Kill[] = [];
  const account = await underLoad({ firstId: 8_000 }, async (cloud) => {
    while (kills.length < KILLS)
      kills.push(await killBusyWorker(cloud, kills.length % 2 === 0 ? "terminate" : "stop"));
  });
  await tellRecovery(started!, "SIGTERM of a worker", kills);
  expect(account).toMatchObject({ unknown: 0, retried: [] });
});

test("a backend killed and started again on its state: every answer is sent once, or listed as unknown", async () => {
  const account = await underLoad({ firstId: 9_000 }, async (cloud, crowd) => {
    for (let kill = 0; kill < BACKEND_KILLS; kill++) {
      const before = crowd.messages;
      await cloud.until("people write", async () => crowd.messages >= before + 8);
      await cloud.backend.kill();
      await cloud.backend.boot();
    }
  });
  process.stdout.write(
    `${BACKEND_KILLS} × SIGKILL of the backend: ${account.messages} messages, ${account.retried.length} turns run again, ${account.unknown} deliveries unknown\n`,
  );
  expect(account.unknown).toBeLessThanOrEqual(BACKEND_KILLS);
  // Workers wait for the backend with their answers: no turn is run again for it.
  expect(account.retried).toEqual([]);
});

test.each([
  ["refuses connections", (cloud: Cloud) => cloud.gate.shut()],
  ["does not answer", (cloud: Cloud) => Promise.resolve(cloud.gate.silence())],
])(
  "while Fly's API %s, workers that die are replaced by those that live, and by new ones once it is back",
  async (what, cut) => {
    const firstId = what.startsWith("refuses") ? 10_000 : 11_000;
    // Turns long enough to be in hand when their worker dies.
    const account = await underLoad({ firstId, turnMsMax: 4_000 }, async (cloud) => {
      await cloud.until("two workers are busy", async () => {
        const rows = await cloud.backend.table("workers");
        return rows.filter(({ state, load }) => state === "active" && load > 0).length >= 2;
      });
      await cut(cloud);
      const kill = await killBusyWorker(cloud, "crash");
      await cloud.gate.reopen();
      const backAt = performance.now();
      await cloud.until("another worker is ready", async () => {
        const rows = await cloud.backend.table("workers");
        return rows.some(({ state, createdAt }) => state === "active" && createdAt > kill.at);
      });
      process.stdout.write(
        `Fly ${what}: a dead worker was noticed after ${Math.round(kill.noticedMs)} ms (${kill.reason}), ` +
          `another was ready ${Math.round(performance.now() - backAt)} ms after Fly was back\n`,
      );
    });
    expect(account.unknown).toBe(0);
  },
);
