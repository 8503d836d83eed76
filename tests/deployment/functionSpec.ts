/** The functions of a running deployment, as it tells them itself, and arguments that each would accept. */
import * as z from "zod";
import type { Backend } from "./backend.ts";
import type { FunctionKind } from "./wire.ts";

/** A validator as Convex exports it. */
type ValidatorJson =
  | { type: "null" | "number" | "bigint" | "boolean" | "string" | "bytes" | "any" }
  | { type: "literal"; value: unknown }
  | { type: "id"; tableName: string }
  | { type: "array"; value: ValidatorJson }
  | { type: "record"; keys: ValidatorJson; values: { fieldType: ValidatorJson } }
  | { type: "object"; value: Record<string, { fieldType: ValidatorJson; optional: boolean }> }
  | { type: "union"; value: ValidatorJson[] };

const functionSchema = z.object({
  functionType: z.enum(["Query", "Mutation", "Action"]),
  /** `worker.js:claim`. */
  identifier: z.string(),
  visibility: z.object({ kind: z.enum(["public", "internal"]) }),
  args: z.custom<ValidatorJson>(),
});
const routeSchema = z.object({
  functionType: z.literal("HttpAction"),
  method: z.string(),
  path: z.string(),
});
const specSchema = z.array(z.union([functionSchema, routeSchema]));

export interface DeployedFunction {
  /** `worker:claim`. */
  readonly path: string;
  readonly kind: FunctionKind;
  readonly visibility: "public" | "internal";
  readonly args: ValidatorJson;
}

export interface Deployed {
  readonly functions: DeployedFunction[];
  readonly routes: Array<{ method: string; path: string }>;
}

export async function readDeployed(backend: Backend): Promise<Deployed> {
  const spec = specSchema.parse((await backend.call("query", "_system/cli/modules:apiSpec")).value);
  const deployed: Deployed = { functions: [], routes: [] };
  for (const one of spec) {
    if (one.functionType === "HttpAction") {
      deployed.routes.push({ method: one.method, path: one.path });
      continue;
    }
    deployed.functions.push({
      path: one.identifier.replace(/\.js(?=:)/, ""),
      kind: one.functionType.toLowerCase() as FunctionKind,
      visibility: one.visibility.kind,
      args: one.args,
    });
  }
  return deployed;
}

/** Values that exist in the deployment, by the name of a field or, for ids, of the table. */
export type Known = Readonly<Record<string, unknown>>;

/** The least value that a validator accepts: optional fields only where something is known for them. */
export function acceptable(validator: ValidatorJson, known: Known, field = ""): unknown {
  if (Object.hasOwn(known, field)) return known[field];
  switch (validator.type) {
    case "null":
    case "any":
      return null;
    case "number":
      return 1;
    case "bigint":
      return { $integer: "AQAAAAAAAAA=" };
    case "bytes":
      return { $bytes: "" };
    case "boolean":
      return true;
    case "string":
      return "x";
    case "literal":
      return validator.value;
    case "id":
      if (!Object.hasOwn(known, validator.tableName))
        throw new Error(`no id of table ${validator.tableName} is known: make one in the test's set-up`);
      return known[validator.tableName];
    case "array":
      return [acceptable(validator.value, known)];
    case "record":
      return {};
    case "object":
      return Object.fromEntries(
        Object.entries(validator.value)
          .filter(([name, { optional }]) => !optional || Object.hasOwn(known, name))
          .map(([name, { fieldType }]) => [name, acceptable(fieldType, known, name)]),
      );
    case "union": {
      const [first = { type: "null" as const }] = validator.value;
      return acceptable(first, known, field);
    }
  }
}
