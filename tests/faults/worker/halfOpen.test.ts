/** A worker whose network goes silent without closing anything, against the real backend on the embedded deployment. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { WorkerBackend } from "../../../runtime/worker/src/backend/backend.ts";
import { connectBackend } from "../../../runtime/worker/src/backend/convexBackend.ts";
import { type RunningWorker, startWorker } from "../../../runtime/worker/src/worker.ts";
import { silentLog } from "../../../runtime/worker/testing/log.ts";
import { prepareSite, testConfig, type TestSite, until } from "../../../runtime/worker/testing/worker.ts";
import { Factory, tokenOf } from "../../deployment/factory.ts";
import { createTestEngine } from "../fleet/image/engine.ts";
import { SilentProxy } from "../../../runtime/worker/testing/silentProxy.ts";

const LEASE = { leaseMs: 9_000, heartbeatIntervalMs: 1_500, idleHeartbeatIntervalMs: 5_000 };
const CALL_TIMEOUT_MS = 1_500;
/** Several heartbeats, and far below the 60 s after which Convex's client gives up a socket by itself. */
const SOON_MS = 15_000;

let factory: Factory;
let proxy: SilentProxy;
let site: TestSite;
let worker: RunningWorker;
/** Heartbeats that had no answer. */
let unanswered = 0;
/** The worker of the proxy has said goodbye. */
let lostEnded = false;

const start = async (backend: WorkerBackend, folder: string): Promise<RunningWorker> =>
  await startWorker({
    config: testConfig(join(site.dir, folder), "http://127.0.0.1:9"),
    image: site.image,
    backend,
    log: silentLog,
    startedAt: performance.now(),
    makeEngine: createTestEngine,
  });

beforeAll(async () => {
  [factory, site] = await Promise.all([
    Factory.start({ workers: 1, config: { lease: LEASE, retry: { baseDelayMs: 100 } } }),
    prepareSite(),
  ]);
  proxy = await SilentProxy.start(Number(new URL(factory.backend.url).port));
  const [credential] = factory.workers;
  if (credential === undefined) throw new Error("no worker was made");
  const real = connectBackend({ url: proxy.url, credential, callTimeoutMs: CALL_TIMEOUT_MS });
  const heartbeat: WorkerBackend["heartbeat"] = async (lease) => {
    try {
      return await real.heartbeat(lease);
    } catch (error) {
      unanswered += 1;
      throw error;
    }
  };
  worker = await start({ ...real, heartbeat }, "data");
  void worker.stopped.then(() => {
    lostEnded = true;
  });
}, 120_000);
afterAll(async () => {
  proxy?.heal();
  await worker?.stop("test over");
  await proxy?.close();
  await factory?.close();
  await site?.remove();
});

const row = async (messageId: string) =>
  (await factory.backend.table("messageQueue")).find((found) => found._id === messageId) as {
    status: string;
    attempts: number;
  };
const isDone = (messageId: string) => async () => (await row(messageId)).status === "done";
const serves = (messageId: string) => async () => (await row(messageId)).status === "processing";
const idle = async () =>
  await until("the worker to be idle", () => worker.loop.activeTurns() === 0 && proxy.isQuiet());
/** The network is silent for as long as one heartbeat takes to be given up. */
const silence = async (during: () => Promise<unknown>) => {
  const before = unanswered;
  proxy.mute();
  await during();
  await until("a heartbeat in vain", () => unanswered > before, SOON_MS);
  proxy.heal();
};
const answers = async (conversationId: string): Promise<string[]> => {
  const conversation = (await factory.backend.table("conversations")).find(
    (found) => found.conversationId === conversationId,
  );
  return (await factory.backend.table("conversationMessages"))
    .filter((entry) => entry.role === "assistant" && entry.conversation === conversation?._id)
    .map((entry) => entry.text as string);
};

test("an idle worker notices by its heartbeat, reconnects and serves what came meanwhile", async () => {
  await until("the first messages", isDone(await factory.write("idle", "before")));
  await idle();
  let meanwhile = "";
  await silence(async () => {
    meanwhile = await factory.write("idle", "meanwhile");
  });
  await until("the message to be served", isDone(meanwhile), SOON_MS);
  expect((await row(meanwhile)).attempts).toBe(1);
  await idle();
  await until("a message of the new connection", isDone(await factory.write("idle", "after")), SOON_MS);
  expect(await answers("idle")).toHaveLength(3);
}, 120_000);

test("a silence shorter than the lease costs a running turn nothing", async () => {
  await idle();
  const message = await factory.write("short", "takes 4000 ms");
  await until("the turn to begin", serves(message));
  await silence(() => Promise.resolve());
  await until("the answer", isDone(message), SOON_MS);
  expect((await row(message)).attempts).toBe(1);
  expect(await answers("short")).toHaveLength(1);
}, 120_000);

test("a silence longer than the lease ends the turn here, and another worker answers, once", async () => {
  await idle();
  const message = await factory.write("long", "takes 3000 ms");
  await until("the turn to begin", serves(message));
  proxy.mute();
  await until("the worker to let go", () => worker.loop.activeTurns() === 0, 2 * LEASE.leaseMs);
  await until("the lease to be taken back", async () => (await row(message)).status === "queued", 30_000);
  const lost = factory.workers[0]?.workerId;
  let workerId: string | undefined;
  await until("another worker is made", async () => {
    const rows = (await factory.backend.table("workers")) as { workerId: string; machineId?: string }[];
    workerId = rows.find((made) => made.machineId !== undefined && made.workerId !== lost)?.workerId;
    return workerId !== undefined;
  });
  if (workerId === undefined) throw new Error("no other worker");
  const credential = { workerId, token: tokenOf(workerId) };
  const other = await start(
    connectBackend({ url: factory.backend.url, credential, callTimeoutMs: CALL_TIMEOUT_MS }),
    "other",
  );
  proxy.heal();
  await until("the answer", isDone(message), SOON_MS);
  await until("the lost worker to end", () => lostEnded, SOON_MS);
  await other.stop("test over");
  expect((await row(message)).attempts).toBe(2);
  expect(await answers("long")).toHaveLength(1);
}, 120_000);
