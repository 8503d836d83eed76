import { jsonToConvex, type JSONValue } from "convex/values";
import type { RegisteredFunction } from "../deploy/inspect.ts";
import type { Catalog } from "../engine/catalog.ts";
import { FunctionError } from "../engine/errors.ts";
import { MAX_VALUE_BYTES } from "../engine/limits.ts";
import type { ValidatorJson } from "../values/describe.ts";
import { hasHalfPair, shapeProblem, VALUE_DEPTH_MAX } from "../values/shape.ts";
import { explainMismatch } from "../values/validate.ts";

function check(catalog: Catalog, name: string, validator: ValidatorJson | null, json: JSONValue): void {
  if (validator === null) return;
  const reason = explainMismatch(validator, jsonToConvex(json), (id) => catalog.tableOfId(id)?.name ?? null);
  if (reason !== null) throw new FunctionError(`${name}: ${reason}`);
}

/** Refuses arguments that are too large or do not match the function's validator. `json` is an array of one object. */
export function checkArguments(
  catalog: Catalog,
  found: RegisteredFunction,
  path: string,
  json: string,
): void {
  if (json.length > MAX_VALUE_BYTES) {
    throw new FunctionError(
      `Arguments for ${path} are too large (${json.length} bytes, limit: ${MAX_VALUE_BYTES} bytes).`,
    );
  }
  if (hasHalfPair(json)) throw new FunctionError(`Arguments for ${path} hold half of a surrogate pair.`);
  const [args] = JSON.parse(json) as JSONValue[];
  const problem = shapeProblem(args ?? {}, VALUE_DEPTH_MAX);
  if (problem !== null) throw new FunctionError(`Arguments for ${path} cannot be taken: ${problem}.`);
  if (found.args === null) return;
  check(catalog, "ArgumentValidationError", found.args, args ?? {});
}

/** Refuses a result that is too large or does not match the function's validator. */
export function checkResult(catalog: Catalog, found: RegisteredFunction, path: string, json: string): void {
  if (json.length > MAX_VALUE_BYTES) {
    throw new FunctionError(
      `Function ${path} return value is too large (${json.length} bytes, limit: ${MAX_VALUE_BYTES} bytes).`,
    );
  }
  if (hasHalfPair(json)) {
    throw new FunctionError(
      `Function ${path} return value invalid: a string holds half of a surrogate pair.`,
    );
  }
  const value = JSON.parse(json) as JSONValue;
  const problem = shapeProblem(value, VALUE_DEPTH_MAX);
  if (problem !== null) throw new FunctionError(`Function ${path} return value invalid: ${problem}.`);
  if (found.returns === null) return;
  check(catalog, "ReturnsValidationError", found.returns, value);
}
