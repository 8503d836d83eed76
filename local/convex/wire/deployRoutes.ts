import { randomUUID } from "node:crypto";
import * as z from "zod";
import { analyze } from "../deploy/analyze.ts";
import { checkPush } from "../deploy/checkPush.ts";
import { moduleHash, PushFolder, type PushedModule, type PushManifest } from "../deploy/pushes.ts";
import { RequestError } from "../engine/errors.ts";
import type { IndexDiff } from "../runtime/protocol.ts";
import type { RuntimeThread } from "../runtimeThread.ts";
import type { Authenticator } from "./auth.ts";
import type { Exchange } from "./exchange.ts";

const MAX_PUSH_BYTES = 256 * 1024 * 1024;

const moduleSchema = z.object({
  path: z.string(),
  source: z.string(),
  sourceMap: z.string().optional(),
  environment: z.enum(["isolate", "node"]),
});

const pushSchema = z.object({
  adminKey: z.string().optional(),
  dryRun: z.boolean().optional(),
  appDefinition: z.object({
    definition: moduleSchema.nullable(),
    schema: moduleSchema.nullable(),
    changedModules: z.array(moduleSchema),
    unchangedModuleHashes: z.array(
      z.object({ path: z.string(), environment: z.enum(["isolate", "node"]), sha256: z.string() }),
    ),
    udfServerVersion: z.string(),
  }),
  componentDefinitions: z.array(z.unknown()),
  nodeDependencies: z.array(z.object({ name: z.string(), version: z.string() })),
});

type PushRequest = z.infer<typeof pushSchema>;

/** The CLI echoes what start_push put here, so it carries the push id through the other calls. */
const schemaChangeSchema = z.object({ schemaIds: z.object({ push: z.string() }) });
const waitSchema = z.object({ adminKey: z.string().optional(), schemaChange: schemaChangeSchema });
const finishSchema = z.object({
  adminKey: z.string().optional(),
  dryRun: z.boolean().optional(),
  startPush: z.object({ schemaChange: schemaChangeSchema }),
});
const anySchema = z.object({ adminKey: z.string().optional() });

/** The requests behind `convex deploy`. */
export class DeployRoutes {
  readonly #runtime: RuntimeThread;
  readonly #authenticator: Authenticator;
  readonly #folder: PushFolder;
  readonly #builtIn: () => Record<string, string>;
  /** Pushes activate one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly routes: Readonly<Record<string, (exchange: Exchange) => Promise<void>>>;

  constructor(
    runtime: RuntimeThread,
    authenticator: Authenticator,
    state: string,
    builtIn: () => Record<string, string>,
  ) {
    this.#runtime = runtime;
    this.#authenticator = authenticator;
    this.#folder = new PushFolder(state);
    this.#builtIn = builtIn;
    this.routes = {
      "/api/get_config_hashes": (exchange) => this.#configHashes(exchange),
      "/api/deploy2/evaluate_push": (exchange) => this.#evaluate(exchange),
      "/api/deploy2/start_push": (exchange) => this.#start(exchange),
      "/api/deploy2/wait_for_schema": (exchange) => this.#waitForSchema(exchange),
      "/api/deploy2/finish_push": (exchange) => this.#finish(exchange),
      "/api/deploy2/report_push_completed": (exchange) => this.#report(exchange),
    };
  }

  async #read<Schema extends z.ZodType<{ adminKey?: string | undefined }>>(
    exchange: Exchange,
    schema: Schema,
  ): Promise<z.infer<Schema>> {
    const header = exchange.header("authorization");
    // Checked before the body is read, when the header already decides it.
    if (header !== undefined) this.#authenticator.requireAdmin(header);
    const body = await exchange.json(schema, MAX_PUSH_BYTES);
    this.#authenticator.requireAdmin(header, body.adminKey);
    return body;
  }

  async #activeManifest(): Promise<PushManifest | null> {
    const push = await this.#runtime.request("activePush", null);
    return push === null ? null : this.#folder.manifest(push);
  }

  async #configHashes(exchange: Exchange): Promise<void> {
    await this.#read(exchange, anySchema);
    const manifest = await this.#activeManifest();
    exchange.sendJson({
      config: { functions: "convex/" },
      moduleHashes: manifest?.modules.filter(({ path }) => path !== "schema.js") ?? [],
      nodeDependencies: [],
      nodeVersion: null,
      udfServerVersion: "1.48.0",
    });
  }

  async #evaluate(exchange: Exchange): Promise<void> {
    const request = await this.#read(exchange, pushSchema);
    const manifest = await this.#prepare(request);
    exchange.sendJson({ schemaChange: await this.#schemaChange(manifest.id) });
  }

  async #schemaChange(push: string): Promise<unknown> {
    const diff = await this.#runtime.request("diffSchema", { push });
    return { allocatedComponentIds: {}, schemaIds: { push }, indexDiffs: { "": diff } };
  }

  async #start(exchange: Exchange): Promise<void> {
    const request = await this.#read(exchange, pushSchema);
    const manifest = await this.#prepare(request);
    exchange.sendJson(startReply(manifest, request, await this.#schemaChange(manifest.id)));
  }

  /** Stores and analyses pushed code without putting it in force. */
  async #prepare(request: PushRequest): Promise<PushManifest> {
    if (request.componentDefinitions.length > 0) {
      throw new RequestError(
        400,
        "ComponentsUnsupported",
        "The local Convex deployment has no components: remove them from convex.config.ts.",
      );
    }
    const external = request.nodeDependencies[0];
    if (external !== undefined) {
      throw new RequestError(
        400,
        "ExternalPackagesUnsupported",
        `The local Convex deployment cannot install the external package "${external.name}": remove it from node.externalPackages in convex.json.`,
      );
    }
    const modules = await this.#modulesOf(request);
    const id = randomUUID();
    this.#folder.write(id, modules);
    const hashes = modules.map(({ path, environment, source, sourceMap }) => ({
      path,
      environment,
      hash: moduleHash(source, sourceMap),
    }));
    const environment = { ...(await this.#runtime.request("readEnvironment", null)), ...this.#builtIn() };
    const schema = request.appDefinition.schema !== null;
    const analysis = await analyze(
      { root: this.#folder.modulesPath(id), modules: hashes, schema },
      environment,
    );
    checkPush(analysis);
    const { functions, routes, crons } = analysis;
    const manifest: PushManifest = { id, modules: hashes, schema: analysis.schema, functions, routes, crons };
    this.#folder.seal(manifest);
    return manifest;
  }

  async #modulesOf(request: PushRequest): Promise<PushedModule[]> {
    const { changedModules, unchangedModuleHashes, schema } = request.appDefinition;
    const manifest = unchangedModuleHashes.length > 0 ? await this.#activeManifest() : null;
    const unchanged = unchangedModuleHashes.map(({ path, sha256 }) => {
      const known = manifest?.modules.find((module) => module.path === path && module.hash === sha256);
      if (manifest === null || known === undefined) {
        throw new RequestError(400, "RaceDetected", `Module ${path} changed during the push. Deploy again.`);
      }
      return this.#folder.read(manifest.id, known);
    });
    return [...changedModules, ...unchanged, ...(schema === null ? [] : [schema])];
  }

  async #waitForSchema(exchange: Exchange): Promise<void> {
    const { schemaChange } = await this.#read(exchange, waitSchema);
    const violation = await this.#runtime.request("checkSchema", { push: schemaChange.schemaIds.push });
    exchange.sendJson(
      violation === null
        ? { type: "complete" }
        : { type: "failed", error: violation.error, componentPath: "", tableName: violation.table },
    );
  }

  async #finish(exchange: Exchange): Promise<void> {
    const { startPush, dryRun } = await this.#read(exchange, finishSchema);
    const { push } = startPush.schemaChange.schemaIds;
    const finished = this.#turn.then(async () => {
      const before = await this.#activeManifest();
      const indexDiff = await this.#runtime.request("diffSchema", { push });
      const after = this.#folder.manifest(push);
      const none = { added: [], updated: [], deleted: [] };
      const cronDiff = dryRun === true ? none : (await this.#runtime.request("activate", { push })).cronDiff;
      if (dryRun !== true) this.#folder.prune(new Set([push, ...(before === null ? [] : [before.id])]));
      return { before, after, indexDiff, cronDiff };
    });
    this.#turn = finished.catch(() => undefined);
    const { before, after, indexDiff, cronDiff } = await finished;
    exchange.sendJson(finishReply(before, after, indexDiff, cronDiff));
  }

  async #report(exchange: Exchange): Promise<void> {
    await this.#read(exchange, anySchema);
    exchange.sendJson({});
  }
}

function startReply(manifest: PushManifest, request: PushRequest, schemaChange: unknown): unknown {
  const functions = Object.fromEntries(
    Object.entries(manifest.functions).map(([path, found]) => {
      const crons = path === "crons.js" ? Object.entries(manifest.crons) : null;
      const routes = path === "http.js" ? manifest.routes : null;
      const described = found.map((one) => ({ ...one, pos: null }));
      return [path, { functions: described, httpRoutes: routes, cronSpecs: crons, sourceMapped: null }];
    }),
  );
  const definition = {
    path: "",
    definitionType: { type: "app" },
    childComponents: [],
    httpMounts: {},
    exports: { type: "branch", branch: [] },
  };
  const udfConfig = {
    serverVersion: request.appDefinition.udfServerVersion,
    importPhaseRngSeed: { $bytes: "" },
    importPhaseUnixTimestamp: { $integer: "AAAAAAAAAAA=" },
  };
  return {
    environmentVariables: {},
    externalDepsId: null,
    componentDefinitionPackages: {},
    appAuth: [],
    analysis: { "": { definition, schema: manifest.schema, functions, udfConfig } },
    app: {
      definitionPath: "",
      componentPath: "",
      args: {},
      childComponents: {},
      httpRoutes: { httpModuleRoutes: manifest.routes, mounts: [] },
      exports: {},
    },
    schemaChange,
  };
}

function finishReply(
  before: PushManifest | null,
  after: PushManifest,
  indexDiff: IndexDiff,
  cronDiff: unknown,
): unknown {
  const known = new Map(before?.modules.map(({ path, hash }) => [path, hash]));
  const now = new Map(after.modules.map(({ path, hash }) => [path, hash]));
  const moduleDiff = {
    added: [...now].filter(([path, hash]) => known.get(path) !== hash).map(([path]) => path),
    removed: [...known.keys()].filter((path) => !now.has(path)),
  };
  const diffType = { type: before === null ? "create" : "modify" };
  const component = { diffType, moduleDiff, udfConfigDiff: null, cronDiff, indexDiff, schemaDiff: null };
  return { authDiff: { added: [], removed: [] }, definitionDiffs: {}, componentDiffs: { "": component } };
}
