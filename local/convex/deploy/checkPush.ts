import { jsonToConvex } from "convex/values";
import { RequestError } from "../engine/errors.ts";
import { normalisePath } from "../runtime/generation.ts";
import { nextRun } from "../runtime/schedule.ts";
import type { ValidatorJson } from "../values/describe.ts";
import { explainMismatch } from "../values/validate.ts";
import type { AnalysisReply } from "./analyze.ts";
import type { AnalyzedFunction, Schema } from "./pushes.ts";

const MAX_INDEXES_PER_TABLE = 64;
const MAX_INDEX_FIELDS = 16;
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

function refuse(code: string, message: string): never {
  throw new RequestError(400, code, message);
}

/** Checks of a push that need no data: crons name real functions with fitting arguments, indexes are sane. */
export function checkPush(analysis: AnalysisReply): void {
  if (analysis.schema !== null) checkSchema(analysis.schema);
  const functions = new Map<string, AnalyzedFunction>();
  for (const [module, found] of Object.entries(analysis.functions)) {
    for (const one of found) functions.set(normalisePath(`${module}:${one.name}`), one);
  }
  for (const [name, spec] of Object.entries(analysis.crons)) {
    const path = normalisePath(spec.name);
    const target = functions.get(path);
    if (target === undefined) refuse("InvalidCron", `Cron "${name}" runs ${path}, which is not defined.`);
    if (target.udfType === "Query")
      refuse(
        "InvalidCron",
        `Cron "${name}" runs ${path}, which is a query. Crons run mutations and actions.`,
      );
    const validator = JSON.parse(target.args) as ValidatorJson;
    // Ids are checked when the cron fires: at a first deploy there is no table yet to tell them apart.
    const reason = explainMismatch(withoutIds(validator), jsonToConvex(spec.args[0] ?? {}), () => null);
    if (reason !== null) refuse("InvalidCron", `Arguments of cron "${name}" for ${path}: ${reason}`);
    try {
      nextRun(name, spec.schedule, Date.now(), null);
    } catch (error) {
      refuse("InvalidCron", (error as Error).message);
    }
  }
}

function withoutIds(validator: ValidatorJson): ValidatorJson {
  const text = JSON.stringify(validator, (_key, value: unknown) =>
    typeof value === "object" &&
    value !== null &&
    (value as { type?: unknown }).type === "id" &&
    "tableName" in value
      ? { type: "string" }
      : value,
  );
  return JSON.parse(text) as ValidatorJson;
}

function checkSchema(schema: Schema): void {
  for (const { tableName, indexes } of schema.tables) {
    if (!IDENTIFIER.test(tableName))
      refuse(
        "InvalidSchema",
        `Table name "${tableName}" is not a letter followed by letters, digits and underscores.`,
      );
    if (indexes.length > MAX_INDEXES_PER_TABLE)
      refuse("InvalidSchema", `Table "${tableName}" has more than ${MAX_INDEXES_PER_TABLE} indexes.`);
    const seen = new Set(["by_id", "by_creation_time"]);
    for (const { indexDescriptor, fields } of indexes) {
      const name = `${tableName}.${indexDescriptor}`;
      if (!IDENTIFIER.test(indexDescriptor))
        refuse(
          "InvalidSchema",
          `Index name "${name}" is not a letter followed by letters, digits and underscores.`,
        );
      if (seen.has(indexDescriptor))
        refuse("InvalidSchema", `Index name "${name}" is reserved or used twice.`);
      if (fields.length === 0 || fields.length > MAX_INDEX_FIELDS)
        refuse("InvalidSchema", `Index ${name} must have 1 to ${MAX_INDEX_FIELDS} fields.`);
      if (new Set(fields).size !== fields.length)
        refuse("InvalidSchema", `Index ${name} names a field twice.`);
      seen.add(indexDescriptor);
    }
  }
}
