/** One worker from boot to goodbye: clean disk, skills, gateway, probe turn, ready, loop, drain. */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AnswerDeps } from "./answer.ts";
import { createEngine } from "./agent/engine.ts";
import { createResidents } from "./agent/residents.ts";
import type { WorkerBackend } from "./backend/backend.ts";
import type { WorkerConfig } from "./config.ts";
import { emptyDataDir, takeDataDir } from "./dataDir.ts";
import { createOwnerGuard } from "./owner.ts";
import type { ImageTree } from "./imageTree.ts";
import { errorName } from "./errorName.ts";
import type { Log } from "./log.ts";
import { enforceSkillPolicy } from "./skills/policy.ts";
import { createTelemetry } from "./telemetry/telemetry.ts";
import { runLoop, type WorkerLoop } from "./loop.ts";

export interface WorkerParts {
  config: WorkerConfig;
  image: ImageTree;
  backend: WorkerBackend;
  log: Log;
  /** performance.now() of the process's start, for the boot time. */
  startedAt: number;
  /** See {@link AnswerDeps}. */
  reached?: AnswerDeps["reached"];
  /** Makes the agent engine; OpenClaw's gateway by default. */
  makeEngine?: typeof createEngine;
}

export interface RunningWorker {
  loop: WorkerLoop;
  /** Drains, says goodbye and stops everything. Safe to call more than once. */
  stop(reason: string): Promise<void>;
  /** Resolves when the worker has stopped, whoever asked for it. */
  readonly stopped: Promise<void>;
  /** Process id of the gateway; null while it is being replaced. */
  enginePid(): number | null;
}

/** The engine's own limit, s: far beyond any turn's, so that the backend's deadline decides. */
const ENGINE_TURN_LIMIT_S = 2_100;
const GATEWAY_BOOT_TIMEOUT_MS = 180_000;
/** Held conversations per slot: enough to answer a running dialogue warm. */
const KEPT_PER_SLOT = 8;
const GOODBYE_LIMIT_MS = 3_000;

/** Boots and serves. @throws when the gateway or the model does not come up: the machine is then replaced. */
export async function startWorker({
  config,
  image,
  backend,
  log,
  startedAt,
  reached,
  makeEngine = createEngine,
}: WorkerParts): Promise<RunningWorker> {
  const conversationsDir = join(config.dataDir, "conversations");
  const runDir = join(config.dataDir, "run");
  const { skills, removed: removedSkills } = await enforceSkillPolicy(
    image.skillsDir,
    image.skillHashes,
    config.dataDir,
  );
  if (removedSkills.length > 0) log.warn({ removedSkills }, "Skills that are not the image's were removed");
  // Never boot a crashed disk: OpenClaw re-runs interrupted turns, and those belong to another worker by now.
  await takeDataDir(config.dataDir);
  await mkdir(conversationsDir, { recursive: true, mode: 0o700 });

  const telemetry = createTelemetry(config, log);
  const lost = Promise.withResolvers<void>();
  const engine = makeEngine(
    {
      openclawDir: config.openclawDir,
      runDir,
      pluginSourceDir: image.pluginDir,
      models: config.models,
      turnTimeoutSeconds: ENGINE_TURN_LIMIT_S,
      compileCache: image.compileCache,
      bootTimeoutMs: GATEWAY_BOOT_TIMEOUT_MS,
    },
    {
      onRestart: (reason) => {
        telemetry.engineReplaced();
        log.error({ reason }, "The gateway is replaced");
      },
      onLost: (reason) => {
        log.error({ reason }, "No gateway comes up");
        lost.resolve();
      },
    },
  );
  const booted = await engine.start();
  const residents = createResidents({
    engine,
    dir: conversationsDir,
    keptMax: config.jobsMax * KEPT_PER_SLOT,
    skills,
    onForeignSkills: (conversationId, names) =>
      log.warn({ conversationId, names }, "Skills that are not the image's were removed from a conversation"),
    onCleanupError: (error) =>
      log.warn({ error: errorName(error) }, "A conversation could not be removed from disk"),
  });

  const owner = createOwnerGuard({
    isSpent: () => residents.commandsWereAllowed(),
    wipe: async () => {
      log.info({}, "Another owner: everything of the former one is wiped");
      residents.evictAll();
      // Their sessions end with their gateway, at once.
      await engine.restart("another owner");
      await residents.settled();
      await emptyDataDir(config.dataDir, [basename(runDir)]); // The new gateway lives there, on a wiped folder.
      await mkdir(conversationsDir, { recursive: true, mode: 0o700 });
    },
  });

  const bootMs = Math.round(performance.now() - startedAt);
  await backend.ready({
    ...(config.image === null ? {} : { imageDigest: config.image }),
    ...(image.sourceRevision === null ? {} : { sourceRevision: image.sourceRevision }),
    bootMs,
    ...booted,
    skills: skills.map(({ name, sha256 }) => ({ name, sha256 })),
    removedSkills,
  });
  log.info({ bootMs, ...booted }, "Ready");

  const loop = runLoop({
    backend,
    turnDeps: { engine, residents, owner, reached, modelSees: config.models.sees },
    log,
    jobsMax: config.jobsMax,
    drainTimeoutMs: config.drainTimeoutMs,
    onTurnEnd: (claim, end, totalMs) => telemetry.turnEnded(claim, end, totalMs),
  });
  // What it holds goes back, and another machine is made in its place.
  void lost.promise.then(() => loop.drain("no gateway comes up"));
  await telemetry.start(() => ({ activeTurns: loop.activeTurns(), heldConversations: residents.size() }));
  const stopped = loop.stopped.then(async (reason) => {
    await within(GOODBYE_LIMIT_MS, backend.stopped(reason)).catch((error: unknown) =>
      log.warn({ error: String(error) }, "The goodbye did not arrive"),
    );
    await engine.stop();
    await within(GOODBYE_LIMIT_MS, telemetry.stop()).catch(() => undefined);
    await within(GOODBYE_LIMIT_MS, backend.close()).catch(() => undefined);
    log.info({ reason }, "Stopped");
  });
  return {
    loop,
    stopped,
    enginePid: () => engine.pid(),
    stop: async (reason) => {
      await loop.drain(reason);
      await stopped;
    },
  };
}

async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
