/** A real worker in this process: real gateway, built plugin, the image's skills; only backend and model are fakes. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundlePlugin } from "../image/bundle.ts";
import { hashSkills } from "../image/skills.ts";
import { planModels } from "../src/agent/models.ts";
import type { WorkerConfig } from "../src/config.ts";
import type { ImageTree } from "../src/imageTree.ts";
import type { Log } from "../src/log.ts";
import { type RunningWorker, startWorker, type WorkerParts } from "../src/worker.ts";
import { type FakeDeployment, startFakeDeployment } from "./fakeBackend.ts";
import { silentLog } from "./log.ts";
import { type ChatRequest, type ModelReply, startTestModel, type TestModel } from "./model.ts";

export const workerDir = dirname(dirname(fileURLToPath(import.meta.url)));
export const openclawDir = join(dirname(dirname(workerDir)), "node_modules/openclaw");
/** Reused by every gateway of the tests: code only, and half of a boot's time. */
export const compileCacheDir = join(tmpdir(), "agent-factory-test-compile-cache");

export interface TestSite {
  dir: string;
  image: ImageTree;
  remove(): Promise<void>;
}

/** A temporary folder with a built plugin and the image's skills. */
export async function prepareSite(): Promise<TestSite> {
  const dir = await mkdtemp(join(tmpdir(), "agent-factory-worker-"));
  await bundlePlugin(join(dir, "plugin"));
  const skillsDir = join(workerDir, "skills");
  return {
    dir,
    image: {
      pluginDir: join(dir, "plugin"),
      skillsDir,
      skillHashes: new Map(Object.entries(await hashSkills(skillsDir))),
      sourceRevision: "test",
      openclawDir,
      compileCache: { dir: compileCacheDir, portable: false },
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

export function testConfig(
  dataDir: string,
  modelUrl: string,
  overrides: Partial<WorkerConfig> = {},
): WorkerConfig {
  const models = planModels({
    OPENCLAW_AGENT_MODEL: "openai/echo-1",
    OPENCLAW_MODEL_BASE_URL: modelUrl,
    OPENAI_API_KEY: "test-key",
    // No conversation of a test is long enough to be compacted.
    OPENCLAW_MODEL_CONTEXT_WINDOW: "10000000",
  });
  if (!models.ok) throw new Error(models.problems.join(", "));
  return {
    convexUrl: "http://127.0.0.1:9",
    workerId: "w-test-1",
    token: "test-token",
    jobsMax: 4,
    drainTimeoutMs: 5_000,
    image: null,
    metricsPort: null,
    otlp: null,
    logLevel: "error",
    dataDir,
    openclawDir,
    models: models.plan,
    ...overrides,
  };
}

export interface TestWorker {
  site: TestSite;
  model: TestModel;
  deployment: FakeDeployment;
  /** The worker that runs now. */
  worker: RunningWorker;
  /** Folder of everything that the worker writes. */
  dataDir: string;
  /** Boots a worker on the same disk, as a restarted machine does. */
  boot(overrides?: Partial<WorkerConfig>): Promise<RunningWorker>;
  close(): Promise<void>;
}

/** What stands in the engine's place. */
export interface TestParts {
  makeEngine?: WorkerParts["makeEngine"];
  /** Writes another `openclaw.mjs` into the folder that it is given. */
  prepareOpenclaw?: (openclawDir: string) => Promise<void>;
  log?: Log;
}

/** A worker with a scripted model, ready to serve. */
export async function startTestWorker(
  reply: (request: ChatRequest) => ModelReply,
  overrides: Partial<WorkerConfig> = {},
  parts: TestParts = {},
): Promise<TestWorker> {
  const site = await prepareSite();
  const standIn = join(site.dir, "openclaw");
  await parts.prepareOpenclaw?.(standIn);
  const openclaw = parts.prepareOpenclaw === undefined ? {} : { openclawDir: standIn };
  const model = await startTestModel(reply);
  const deployment = await startFakeDeployment();
  const dataDir = join(site.dir, "data");
  const boot = async (more: Partial<WorkerConfig> = {}): Promise<RunningWorker> => {
    test.worker = await startWorker({
      config: testConfig(dataDir, model.url, { ...openclaw, ...overrides, ...more }),
      image: site.image,
      backend: deployment.backend(),
      log: parts.log ?? silentLog,
      startedAt: performance.now(),
      ...(parts.makeEngine === undefined ? {} : { makeEngine: parts.makeEngine }),
    });
    return test.worker;
  };
  const test: TestWorker = {
    site,
    model,
    deployment,
    dataDir,
    boot,
    // Assigned by the boot below, before anybody sees the object.
    worker: undefined as unknown as RunningWorker,
    close: async () => {
      await test.worker.stop("test over");
      await deployment.close();
      await model.close();
      await site.remove();
    },
  };
  await boot();
  return test;
}

/** @throws when there is no gateway: no signal may go anywhere else. */
export function signalGateway(pid: number | null, signal: NodeJS.Signals): void {
  if (pid === null) throw new Error("there is no gateway just now");
  process.kill(pid, signal);
}

/** Asks until `ready` holds. @throws after `limitMs`, naming what was waited for. */
export async function until(
  what: string,
  ready: () => boolean | Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await ready())) {
    if (performance.now() > deadline) throw new Error(`Waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
