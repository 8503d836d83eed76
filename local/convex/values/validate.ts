import { CommitTsPlaceholder, jsonToConvex, type Value } from "convex/values";
import { describeValidator, describeValue, type ValidatorJson } from "./describe.ts";

/** Maps the table number of an id to its table's name; null for an id of no known table. */
export type TableOfId = (id: string) => string | null;

interface Mismatch {
  readonly reason: string;
  readonly path: string;
  readonly value: Value;
  readonly validator: ValidatorJson;
}

/**
 * Checks a value against a validator.
 * @returns null when it matches, else the explanation that Convex gives, without a leading error name.
 */
export function explainMismatch(validator: ValidatorJson, value: Value, tableOfId: TableOfId): string | null {
  const mismatch = check(validator, value, "", tableOfId);
  if (mismatch === null) return null;
  const path = mismatch.path === "" ? "" : `Path: ${mismatch.path}\n`;
  const label = isObject(mismatch.value) ? "Object" : "Value";
  return `${mismatch.reason}\n\n${path}${label}: ${describeValue(mismatch.value)}\nValidator: ${describeValidator(mismatch.validator)}`;
}

function isObject(value: Value): value is Record<string, Value | undefined> {
  return (
    value !== null &&
    typeof value === "object" &&
    !Array.isArray(value) &&
    !(value instanceof ArrayBuffer) &&
    !(value instanceof CommitTsPlaceholder)
  );
}

function literalMatches(expected: unknown, value: Value): boolean {
  return expected === value || jsonToConvex(expected as never) === value;
}

function check(validator: ValidatorJson, value: Value, path: string, tableOfId: TableOfId): Mismatch | null {
  const fail = (reason: string): Mismatch => ({ reason, path, value, validator });
  const when = (ok: boolean): Mismatch | null => (ok ? null : fail("Value does not match validator."));
  switch (validator.type) {
    case "any":
      return null;
    case "null":
      return when(value === null);
    case "number":
    case "bigint":
    case "boolean":
    case "string":
      return when(typeof value === validator.type);
    case "commitTs":
      return when(typeof value === "bigint" || value instanceof CommitTsPlaceholder);
    case "bytes":
      return when(value instanceof ArrayBuffer);
    case "literal":
      return when(literalMatches(validator.value, value));
    case "id":
      return checkId(validator.tableName, value, fail, tableOfId);
    case "array":
      if (!Array.isArray(value)) return when(false);
      for (const [position, item] of value.entries()) {
        const inner = check(validator.value, item, `${path}[${position}]`, tableOfId);
        if (inner !== null) return inner;
      }
      return null;
    case "union":
      return checkUnion(validator.value, value, path, tableOfId, fail);
    case "record":
      if (!isObject(value)) return when(false);
      for (const [name, item] of Object.entries(value)) {
        const inner =
          check(validator.keys, name, `${path}.${name}`, tableOfId) ??
          check(validator.values.fieldType, item as Value, `${path}.${name}`, tableOfId);
        if (inner !== null) return inner;
      }
      return null;
    case "object":
      return isObject(value) ? checkFields(validator, value, path, tableOfId, fail) : when(false);
  }
}

function checkId(
  tableName: string,
  value: Value,
  fail: (reason: string) => Mismatch,
  tableOfId: TableOfId,
): Mismatch | null {
  if (typeof value !== "string") return fail("Value does not match validator.");
  const actual = tableOfId(value);
  if (actual === tableName) return null;
  if (actual === null) return fail("Value does not match validator.");
  return fail(
    `Found ID "${value}" from table \`${actual}\`, which does not match the table name in validator \`v.id("${tableName}")\`.`,
  );
}

function checkUnion(
  members: readonly ValidatorJson[],
  value: Value,
  path: string,
  tableOfId: TableOfId,
  fail: (reason: string) => Mismatch,
): Mismatch | null {
  let only: Mismatch | null = null;
  for (const member of members) {
    const inner = check(member, value, path, tableOfId);
    if (inner === null) return null;
    only = inner;
  }
  return members.length === 1 && only !== null ? only : fail("Value does not match validator.");
}

function checkFields(
  validator: Extract<ValidatorJson, { type: "object" }>,
  value: Record<string, Value | undefined>,
  path: string,
  tableOfId: TableOfId,
  fail: (reason: string) => Mismatch,
): Mismatch | null {
  for (const [name, field] of Object.entries(validator.value)) {
    const item = Object.hasOwn(value, name) ? value[name] : undefined;
    if (item === undefined) {
      if (field.optional) continue;
      return fail(
        `Object is missing the required field \`${name}\`. Consider wrapping the field validator in \`v.optional(...)\` if this is expected.`,
      );
    }
    const inner = check(field.fieldType, item, `${path}.${name}`, tableOfId);
    if (inner !== null) return inner;
  }
  for (const [name, item] of Object.entries(value)) {
    if (item !== undefined && !Object.hasOwn(validator.value, name)) {
      return fail(`Object contains extra field \`${name}\` that is not in the validator.`);
    }
  }
  return null;
}
