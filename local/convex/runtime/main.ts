import module from "node:module";
import { join } from "node:path";
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import { PushFolder } from "../deploy/pushes.ts";
import { Engine } from "../engine/engine.ts";
import { RequestError } from "../engine/errors.ts";
import { Transaction } from "../engine/transaction.ts";
import {
  ACTIVE_PUSH,
  activePush,
  applySchema,
  diffIndexes,
  enforceSchema,
  findViolation,
} from "./activation.ts";
import { Calls } from "./calls.ts";
import { Completions } from "./completions.ts";
import { installConsole } from "./console.ts";
import { Crons } from "./crons.ts";
import { Environment } from "./environment.ts";
import { Executor } from "./executor.ts";
import { Files } from "./files.ts";
import { loadGeneration } from "./generation.ts";
import { installGlobals } from "./globals.ts";
import { serveHttp } from "./http.ts";
import type { FromRuntime, RuntimeCalls, RuntimeCallName, RuntimeOptions, ToRuntime } from "./protocol.ts";
import { BEAT_INTERVAL_MS, PulseWriter } from "./pulse.ts";
import { Scheduler } from "./scheduler.ts";
import { convexGlobal } from "./syscalls/index.ts";
import { systemQueries } from "./systemQueries.ts";
import { Watches } from "./watches.ts";

/** Where the database lies under the state folder. */
const DATABASE = "convex.sqlite";

type Handlers = {
  [Name in RuntimeCallName]: (
    body: RuntimeCalls[Name][0],
    id: number,
  ) => RuntimeCalls[Name][1] | Promise<RuntimeCalls[Name][1]>;
};

/** The runtime thread: owns the database, runs function code, the scheduler and the crons. */
async function run(port: MessagePort, options: RuntimeOptions): Promise<void> {
  const send = (message: FromRuntime): void => port.postMessage(message);
  const pulse = new PulseWriter(options.pulse);
  const heart = setInterval(() => pulse.beat(), BEAT_INTERVAL_MS);
  pulse.beat();
  module.setSourceMapsSupport(true, { nodeModules: false, generatedCode: false });

  const engine = pulse.exempt(() => new Engine(join(options.state, DATABASE)));
  const folder = new PushFolder(options.state);
  const builtIn = { CONVEX_CLOUD_URL: options.cloudUrl, CONVEX_SITE_URL: options.siteUrl };
  const environment = new Environment(engine, builtIn);
  const completions = new Completions((completion) => send({ kind: "completion", completion }));
  const executor = new Executor(engine, pulse, join(options.state, "code"), {
    functionMs: options.functionTimeoutMs,
    actionMs: options.actionTimeoutMs,
  });
  const files = new Files(engine, options.state, options.cloudUrl);
  const scheduler = new Scheduler(engine, executor, completions);
  const crons = new Crons(engine, executor, completions);
  const watches = new Watches(engine, (ts, stale) => send({ kind: "commit", ts: String(ts), stale }));
  const calls = new Calls(engine, executor, completions, watches);
  const deployment = { engine, executor, files, scheduler, environment, name: "local" };
  executor.system = systemQueries(deployment);
  installConsole();
  installGlobals(convexGlobal(deployment));
  // A promise that user code forgot about must not take the deployment down.
  process.on("unhandledRejection", (reason) => {
    process.stderr.write(
      `Unhandled rejection in a function: ${reason instanceof Error ? reason.stack : String(reason)}\n`,
    );
  });

  const everythingStale = (): void => send({ kind: "commit", ts: String(engine.ts), stale: watches.keys() });

  async function activate(push: string): Promise<{ cronDiff: ReturnType<Crons["diff"]> }> {
    const generation = await loadGeneration(folder, push).catch((error: unknown) => {
      throw new RequestError(
        400,
        "InvalidModules",
        `The pushed code cannot be loaded: ${(error as Error).message}`,
      );
    });
    const { schema = null, crons: specs = {} } = generation.manifest ?? {};
    // From here to the end nothing yields: what is checked is what is committed.
    const violation = pulse.exempt(() => findViolation(engine, schema));
    if (violation !== null) throw new RequestError(400, "SchemaValidationFailed", violation.error);
    const cronDiff = crons.diff(specs);
    pulse.exempt(() =>
      engine.touch([
        () => applySchema(engine, schema),
        crons.replaceRows(specs),
        (store) => store.setMeta(ACTIVE_PUSH, push),
      ]),
    );
    enforceSchema(engine, schema);
    executor.generation = generation;
    everythingStale();
    crons.wake();
    scheduler.wake();
    return { cronDiff };
  }

  const handlers: Handlers = {
    call: (body) => calls.call(body),
    watch: (query) => calls.watch(query),
    unwatch: ({ keys }) => {
      for (const key of keys) watches.delete(key);
      return null;
    },
    http: (body, id) => serveHttp(executor, completions, port, id, body),
    timestamp: () => String(engine.ts),
    recordFile: (file) => {
      const transaction = new Transaction(engine);
      const id = files.record(transaction, file);
      transaction.commit();
      return id;
    },
    findFile: ({ blob }) => files.findBlob(blob),
    environment: ({ changes }) => {
      environment.update(changes);
      everythingStale();
      return null;
    },
    readEnvironment: () => environment.all(),
    uploadKey: () => files.key,
    checkSchema: ({ push }) => pulse.exempt(() => findViolation(engine, folder.manifest(push).schema)),
    activate: ({ push }) => activate(push),
    activePush: () => activePush(engine),
    diffSchema: ({ push }) => diffIndexes(engine, folder.manifest(push).schema),
    functionMetrics: () => completions.totals,
  };

  async function answer(message: ToRuntime): Promise<void> {
    try {
      const handler = handlers[message.name] as (body: unknown, id: number) => unknown;
      send({ kind: "reply", id: message.id, body: await handler(message.body, message.id) });
    } catch (error) {
      const refused = error instanceof RequestError;
      if (!refused) process.stderr.write(`${(error as Error).stack}\n`);
      send({
        kind: "failure",
        id: message.id,
        status: refused ? error.status : 500,
        code: refused ? error.code : "InternalServerError",
        message: refused ? error.message : "Your request couldn't be completed. Try again later.",
      });
    }
  }

  const push = activePush(engine);
  if (push !== null) {
    executor.generation = await loadGeneration(folder, push);
    enforceSchema(engine, executor.generation.manifest?.schema ?? null);
    folder.prune(new Set([push]));
  }
  port.on("message", (message: ToRuntime | "stop") => {
    if (message !== "stop") return void answer(message);
    clearInterval(heart);
    scheduler.stop();
    crons.stop();
    engine.close();
    port.close();
    process.exit(0);
  });
  scheduler.start(options.hung);
  crons.start(options.hung);
  send({ kind: "ready" });
}

if (parentPort !== null) await run(parentPort, workerData as RuntimeOptions);
