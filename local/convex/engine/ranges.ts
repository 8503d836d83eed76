import { jsonToConvex, type JSONValue, type Value } from "convex/values";
import { afterKey, afterPrefix, encodeKey } from "../values/keys.ts";
import type { Index } from "./catalog.ts";
import { BY_CREATION_TIME, BY_ID } from "./catalog.ts";
import { FunctionError } from "./errors.ts";

export interface RangeExpression {
  readonly type: "Eq" | "Gt" | "Gte" | "Lt" | "Lte";
  readonly fieldPath: string;
  readonly value: JSONValue;
}

/** Keys `from <= key < to`. */
export interface KeyRange {
  readonly from: Buffer;
  readonly to: Buffer;
}

/** Every key of an index. */
export const WHOLE_INDEX: KeyRange = { from: Buffer.alloc(0), to: afterPrefix(Buffer.alloc(0)) };

/** A wire value in which a missing field is written `{"$undefined": null}`. */
export function jsonOrUndefined(json: JSONValue): Value | undefined {
  if (json !== null && typeof json === "object" && !Array.isArray(json) && "$undefined" in json)
    return undefined;
  return jsonToConvex(json);
}

function indexedFields(index: Index): string[] {
  if (index.name === BY_ID || index.name === BY_CREATION_TIME) return [...index.fields];
  return [...index.fields, "_creationTime"];
}

/**
 * The key range that `withIndex` expressions describe: equalities on the first fields, then at most one lower
 * and one upper bound on the next field.
 */
export function rangeOf(tableName: string, index: Index, expressions: readonly RangeExpression[]): KeyRange {
  const fields = indexedFields(index);
  const name = `${tableName}.${index.name}`;
  const equal: (Value | undefined)[] = [];
  let used = 0;
  for (const expression of expressions) {
    if (expression.type !== "Eq") break;
    expectField(name, fields, equal.length, expression);
    equal.push(jsonOrUndefined(expression.value));
    used += 1;
  }
  const prefix = encodeKey(equal);
  let { from, to } = { from: prefix, to: afterPrefix(prefix) };
  let lower = false;
  let upper = false;
  for (const expression of expressions.slice(used)) {
    expectField(name, fields, equal.length, expression);
    const bound = Buffer.concat([prefix, encodeKey([jsonOrUndefined(expression.value)])]);
    const isLower = expression.type === "Gt" || expression.type === "Gte";
    if (expression.type === "Eq" || (isLower ? lower : upper)) {
      throw new FunctionError(
        `Invalid range for index ${name}: field "${expression.fieldPath}" is bounded twice, or an \`eq\` follows a bound. Use \`eq\` on the first fields, then at most one lower and one upper bound on the next.`,
      );
    }
    if (isLower) {
      lower = true;
      from = expression.type === "Gt" ? afterPrefix(bound) : bound;
    } else {
      upper = true;
      to = expression.type === "Lte" ? afterPrefix(bound) : bound;
    }
  }
  return from.compare(to) < 0 ? { from, to } : { from, to: from };
}

function expectField(name: string, fields: string[], position: number, expression: RangeExpression): void {
  const expected = fields[position];
  if (expected === expression.fieldPath) return;
  throw new FunctionError(
    `Tried to query index ${name} but the query didn't use the index fields in order. ` +
      `Index fields: [${fields.map((field) => `"${field}"`).join(", ")}]. ` +
      `Expected ${expected === undefined ? "no further field" : `"${expected}"`} but got "${expression.fieldPath}".`,
  );
}

/** The part of a range that lies after `key` in the direction of travel. */
export function beyond(range: KeyRange, key: Buffer, descending: boolean): KeyRange {
  if (descending) return { from: range.from, to: range.to.compare(key) < 0 ? range.to : key };
  const next = afterKey(key);
  return { from: range.from.compare(next) > 0 ? range.from : next, to: range.to };
}

/** The part of a range up to and including `key` in the direction of travel. */
export function upTo(range: KeyRange, key: Buffer, descending: boolean): KeyRange {
  if (descending) return { from: range.from.compare(key) > 0 ? range.from : key, to: range.to };
  const next = afterKey(key);
  return { from: range.from, to: range.to.compare(next) < 0 ? range.to : next };
}
