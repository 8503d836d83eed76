import { convexToJson, type JSONValue, type Value } from "convex/values";
import type { RegisteredFunction } from "../deploy/inspect.ts";
import { readPage } from "../engine/query.ts";
import { currentCall, transactionOf } from "./context.ts";
import type { Deployment } from "./deployment.ts";
import { normalisePath } from "./generation.ts";

type Handler = (args: Record<string, JSONValue>) => JSONValue;

interface PaginationArgs {
  readonly cursor: string | null;
  readonly numItems: number;
}

const MAX_PAGE = 1_000;

/** The queries behind `convex env`, `data`, `function-spec` and `run`, by normalised path. */
export function systemQueries(deployment: Deployment): ReadonlyMap<string, RegisteredFunction> {
  const { engine, environment, executor } = deployment;
  const handlers: Record<string, Handler> = {
    "_system/cli/queryEnvironmentVariables": () =>
      Object.entries(environment.all()).map(([name, value]) => ({ name, value })),
    "_system/cli/queryEnvironmentVariables:get": (args) => {
      const name = text(args["name"]);
      const value = environment.all()[name];
      return value === undefined ? null : { name, value };
    },
    "_system/cli/modules:apiSpec": () => apiSpec(deployment),
    "_system/cli/convexUrl:cloudUrl": () => process.env["CONVEX_CLOUD_URL"] ?? "",
    "_system/cli/convexUrl:siteUrl": () => process.env["CONVEX_SITE_URL"] ?? "",
    "_system/cli/tables": () => {
      const declared = new Set(executor.generation.manifest?.schema?.tables.map((table) => table.tableName));
      const names = engine.catalog
        .tables()
        .filter((table) => !table.name.startsWith("_") && (table.persisted || declared.has(table.name)))
        .map(({ name }) => ({ name }));
      return { page: names, isDone: true, continueCursor: "" };
    },
    "_system/cli/tableData": (args) => tablePage(args),
    "_system/cli/tableSize": (args) =>
      engine.catalog.find(text(args["tableName"] ?? args["table"]))?.count ?? 0,
    "_system/frontend/components:list": () => [],
  };
  return new Map(
    Object.entries(handlers).map(([path, handler]) => [normalisePath(path), builtIn(path, handler)] as const),
  );
}

function text(value: JSONValue | undefined): string {
  return typeof value === "string" ? value : "";
}

function builtIn(name: string, handler: Handler): RegisteredFunction {
  const invoke = async (args: string): Promise<string> => {
    const [first] = JSON.parse(args) as [Record<string, JSONValue> | undefined];
    return JSON.stringify(handler(first ?? {}));
  };
  return { name, kind: "query", visibility: "internal", args: null, returns: null, invoke };
}

function tablePage(args: Record<string, JSONValue>): JSONValue {
  const { cursor, numItems } = args["paginationOpts"] as unknown as PaginationArgs;
  const order = args["order"] === "asc" ? "asc" : "desc";
  const page = readPage(transactionOf(currentCall()), {
    query: { source: { type: "FullTableScan", tableName: text(args["table"]), order }, operators: [] },
    cursor,
    endCursor: null,
    pageSize: Math.min(Math.max(0, numItems), MAX_PAGE),
    maximumRowsRead: null,
    maximumBytesRead: null,
  });
  const documents = page.documents.map((document) => JSON.parse(document.json) as JSONValue);
  return { page: documents, isDone: page.isDone, continueCursor: page.continueCursor };
}

function apiSpec({ executor }: Deployment): JSONValue {
  const { manifest } = executor.generation;
  if (manifest === null) return [];
  const functions = Object.entries(manifest.functions).flatMap(([module, exported]) =>
    exported.map((one) => ({
      functionType: one.udfType,
      identifier: `${module}:${one.name}`,
      visibility: { kind: one.visibility.kind },
      args: validatorJson(one.args),
      returns: validatorJson(one.returns),
    })),
  );
  const routes = (manifest.routes ?? []).map(({ method, path }) => ({
    functionType: "HttpAction",
    method,
    path,
  }));
  return [...functions, ...routes];
}

/** A validator as a Convex value: the spec is itself sent as a query result. */
function validatorJson(exported: string): JSONValue {
  const json = JSON.parse(exported) as Value | null;
  return convexToJson(json ?? { type: "any" });
}
