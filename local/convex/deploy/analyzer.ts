import { parentPort, workerData } from "node:worker_threads";
import { importModule, isEntry } from "../runtime/generation.ts";
import type { AnalysisReply, AnalysisRequest } from "./analyze.ts";
import { cronsOf, functionsOf, routerOf, type CronSpec } from "./inspect.ts";
import type { AnalyzedFunction, Schema } from "./pushes.ts";

const KINDS = { query: "Query", mutation: "Mutation", action: "Action" } as const;

/** Runs in a thread of its own: imports every pushed module once and reports what it defines. */
async function analyse(request: AnalysisRequest): Promise<AnalysisReply> {
  const functions: Record<string, AnalyzedFunction[]> = {};
  let routes: { method: string; path: string }[] | null = null;
  let crons: Record<string, CronSpec> = {};
  for (const { path, environment } of request.modules) {
    if (!isEntry(path)) continue;
    const exports = await load(request.root, path);
    const found = functionsOf(exports).map((one) => ({
      name: one.name,
      udfType: KINDS[one.kind],
      visibility: { kind: one.visibility },
      args: JSON.stringify(one.args ?? { type: "any" }),
      returns: JSON.stringify(one.returns),
    }));
    const misplaced = environment === "node" ? found.find((one) => one.udfType !== "Action") : undefined;
    if (misplaced !== undefined) {
      throw new Error(
        `\`${misplaced.name}\` defined in \`${path}\` is a ${misplaced.udfType} function. Only actions can be defined in Node.js. See https://docs.convex.dev/functions/actions for more details.`,
      );
    }
    functions[path] = found;
    if (path === "http.js") {
      const router = routerOf(exports);
      if (router === null)
        throw new Error("The default export of `http` is not a router made with `httpRouter()`.");
      routes = router.getRoutes().map(([route, method]) => ({ path: route, method }));
    }
    if (path === "crons.js") {
      const declared = cronsOf(exports);
      if (declared === null) throw new Error("The default export of `crons` is not made with `cronJobs()`.");
      crons = declared;
    }
  }
  return { functions, routes, crons, schema: request.schema ? await schemaOf(request.root) : null };
}

async function load(root: string, path: string): Promise<Record<string, unknown>> {
  try {
    return await importModule(root, path);
  } catch (error) {
    throw new Error(
      `Failed to analyze ${path}: Uncaught ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`,
      { cause: error },
    );
  }
}

async function schemaOf(root: string): Promise<Schema> {
  const exports = await load(root, "schema.js");
  const definition = exports["default"] as { export?: () => string } | undefined;
  if (typeof definition?.export !== "function") {
    throw new Error("The default export of `schema` is not a schema made with `defineSchema()`.");
  }
  return JSON.parse(definition.export()) as Schema;
}

if (parentPort !== null) {
  const port = parentPort;
  try {
    port.postMessage({ ok: true, analysis: await analyse(workerData as AnalysisRequest) });
  } catch (error) {
    port.postMessage({ ok: false, message: (error as Error).message });
  }
  // User modules may have left timers or sockets open.
  process.exit(0);
}
