/** The OpenAPI 3.1 document, made from the operations that the router runs: it cannot say anything else than they do. */
import * as z from "zod";
import type { Operation } from "./operation.ts";
import { errorShape } from "./shapes.ts";

type Json = Record<string, unknown>;

const toSchema = (schema: z.ZodType, io: "input" | "output"): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io }) as Json;
  return rest;
};

/** Statuses that any operation may answer with, and what they mean. */
const FAILURES: ReadonlyArray<[status: string, description: string]> = [
  ["400", "The request is malformed; the message names the field"],
  ["401", "No, unknown, expired or revoked service key"],
  ["403", "The key lacks the scope or the agent"],
  ["404", "Not found, or another company's"],
  ["409", "It contradicts what exists"],
  ["413", "The body is too large"],
  ["429", "Too many requests or too many waiting messages; see Retry-After"],
  ["500", "A defect of ours"],
  ["503", "The environment is not ready"],
];

function parameters(schema: z.ZodObject, where: "path" | "query"): Json[] {
  const described = toSchema(schema, "input") as { properties?: Json; required?: string[] };
  return Object.entries(described.properties ?? {}).map(([name, property]) => ({
    name,
    in: where,
    required: where === "path" || (described.required?.includes(name) ?? false),
    schema: property,
  }));
}

function describe(operation: Operation): Json {
  const idempotency = {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    schema: { type: "string", minLength: 1, maxLength: 128 },
    description: operation.idempotent,
  };
  const hasBody = !(operation.body instanceof z.ZodUndefined);
  return {
    operationId: operation.id,
    summary: operation.summary,
    security: [{ serviceKey: [operation.scope] }],
    parameters: [
      ...parameters(operation.params, "path"),
      ...parameters(operation.query, "query"),
      ...(operation.idempotent === undefined ? [] : [idempotency]),
    ],
    ...(hasBody
      ? {
          requestBody: {
            required: true,
            content: { "application/json": { schema: toSchema(operation.body, "input") } },
          },
        }
      : {}),
    responses: {
      [operation.status]: {
        description: "Done",
        content: { "application/json": { schema: toSchema(operation.response, "output") } },
      },
      ...Object.fromEntries(
        FAILURES.map(([status, description]) => [
          status,
          {
            description,
            content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
          },
        ]),
      ),
    },
  };
}

/** Builds the document; `serverUrl` is the deployment's site URL with the API's prefix. */
export function openApiDocument(operations: readonly Operation[], serverUrl: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    paths[operation.path] ??= {};
    (paths[operation.path] as Json)[operation.method.toLowerCase()] = describe(operation);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Agent Factory consumer API",
      version: "1.0.0",
      description: "Messages to agents, their answers, the people they talk to. Every error has one shape.",
    },
    servers: [{ url: serverUrl }],
    paths,
    components: {
      schemas: { Error: toSchema(errorShape, "output") },
      securitySchemes: {
        serviceKey: { type: "http", scheme: "bearer", description: "A service key: afk_<id>_<secret>" },
      },
    },
  };
}
