import { readFileSync } from "node:fs";
import * as openapi from "openapi-backend";
import type { Document } from "openapi-backend";

// The package is CommonJS: under Node its classes are on the default export.
const { OpenAPIBackend } =
  "OpenAPIBackend" in openapi ? openapi : (openapi as { default: typeof openapi }).default;

interface Correction {
  pointer: string;
  set?: unknown;
  remove?: true;
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function readJson(name: string): Json {
  return JSON.parse(readFileSync(new URL(`../openapi/${name}`, import.meta.url), "utf8")) as Json;
}

const ERROR_STATUSES = [400, 401, 403, 404, 408, 409, 412, 413, 422, 429, 500, 502, 503, 504];

/** Fly's document with overlay.json applied and made strict: fields it does not know are refused. */
export function correctedDocument(): Json {
  const document = readJson("fly-machines-openapi.json");
  const { corrections } = readJson("overlay.json") as unknown as { corrections: Correction[] };
  for (const correction of corrections) apply(document, correction);
  for (const path of Object.values(document["paths"] as Json)) {
    for (const operation of Object.values(path as Json)) {
      const responses = (operation as Json)["responses"] as Json;
      for (const status of ERROR_STATUSES) {
        responses[status] ??= {
          description: "Error",
          content: { "application/json": { schema: { $ref: "#/components/schemas/ErrorResponse" } } },
        };
      }
    }
  }
  const schemas = (document["components"] as Json)["schemas"] as Json;
  Object.values(schemas).forEach(refuseUnknownFields);
  return document;
}

function apply(document: Json, correction: Correction): void {
  const parts = correction.pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = parts.pop() ?? "";
  let place: Json = document;
  for (const part of parts) {
    const inner = place[part];
    if (!isObject(inner)) throw new Error(`overlay: nothing at ${correction.pointer}`);
    place = inner;
  }
  if (correction.remove === true) delete place[last];
  else place[last] = correction.set;
}

function refuseUnknownFields(schema: unknown): void {
  if (!isObject(schema)) return;
  if (isObject(schema["properties"])) {
    if (schema["allOf"] === undefined) schema["additionalProperties"] ??= false;
    Object.values(schema["properties"]).forEach(refuseUnknownFields);
  }
  refuseUnknownFields(schema["items"]);
}

/** Returns what is wrong with an answer of an operation, as one text per defect. */
export async function responseValidator(): Promise<
  (method: string, path: string, status: number, body: unknown) => string[]
> {
  // The document is JSON of the right shape; its type here is the library's own.
  const api = new OpenAPIBackend({
    definition: correctedDocument() as unknown as Document,
    apiRoot: "/v1",
    quick: true,
    ajvOpts: { strict: false, formats: { int64: true, int32: true, float: true } },
  });
  await api.init();
  return (method, path, status, body) => {
    const operation = api.matchOperation({ method, path, headers: {} });
    if (operation?.operationId === undefined) return [`${method} ${path} is not in the OpenAPI document`];
    if (operation.responses === undefined || body === undefined) return [];
    const declared = Object.keys(operation.responses).includes(String(status));
    const response = operation.responses[String(status)] as
      { content?: Record<string, { schema?: unknown }> } | undefined;
    const hasSchema = response?.content?.["application/json"]?.schema !== undefined;
    // An answer without a described body may carry one (Fly's do); errors always have the error shape.
    if (declared && !hasSchema) return [];
    const result = api.validateResponse(body, operation, declared ? status : undefined);
    return (result.errors ?? []).map(
      (error) => `${operation.operationId} ${status}: ${error.instancePath} ${error.message}`,
    );
  };
}
