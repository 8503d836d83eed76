import { compareValues, type JSONValue, type Value } from "convex/values";
import { fieldAt } from "../values/keys.ts";
import { FunctionError } from "./errors.ts";
import { jsonOrUndefined } from "./ranges.ts";

type Operand = Value | undefined;

/** Deepest nesting of a filter expression: user input must not overflow the stack. */
const MAX_DEPTH = 256;

/** Whether a document passes a `q.filter` expression in its wire form. */
export function passes(expression: JSONValue, document: Value): boolean {
  return evaluate(expression, document, 0) === true;
}

function evaluate(expression: JSONValue, document: Value, depth: number): Operand {
  if (depth > MAX_DEPTH)
    throw new FunctionError(`Filter expression is nested deeper than ${MAX_DEPTH} levels.`);
  if (expression === null || typeof expression !== "object" || Array.isArray(expression)) {
    throw new FunctionError("Malformed filter expression.");
  }
  const [operator, argument] = Object.entries(expression)[0] ?? [];
  if (operator === undefined || argument === undefined)
    throw new FunctionError("Malformed filter expression.");
  if (operator === "$literal") return jsonOrUndefined(argument);
  if (operator === "$field") return fieldAt(document, typeof argument === "string" ? argument : "");
  const inner = (part: JSONValue): Operand => evaluate(part, document, depth + 1);
  const parts = Array.isArray(argument) ? argument : [argument];
  if (operator === "$and") return parts.every((part) => truthy(inner(part)));
  if (operator === "$or") return parts.some((part) => truthy(inner(part)));
  const [left, right] = parts.map(inner);
  return apply(operator, left, right);
}

function truthy(value: Operand): boolean {
  return Boolean(value);
}

function apply(operator: string, left: Operand, right: Operand): Operand {
  switch (operator) {
    case "$eq":
      return compareValues(left, right) === 0;
    case "$neq":
      return compareValues(left, right) !== 0;
    case "$lt":
      return compareValues(left, right) < 0;
    case "$lte":
      return compareValues(left, right) <= 0;
    case "$gt":
      return compareValues(left, right) > 0;
    case "$gte":
      return compareValues(left, right) >= 0;
    case "$not":
      return !truthy(left);
    case "$neg":
      return typeof left === "bigint"
        ? BigInt.asIntN(64, -left)
        : typeof left === "number"
          ? -left
          : arithmetic(operator);
    default:
      return numeric(operator, left, right);
  }
}

function arithmetic(operator: string): never {
  throw new FunctionError(`Filter operator ${operator} needs two float64 or two int64 operands.`);
}

function numeric(operator: string, left: Operand, right: Operand): Operand {
  if (typeof left === "number" && typeof right === "number") {
    switch (operator) {
      case "$add":
        return left + right;
      case "$sub":
        return left - right;
      case "$mul":
        return left * right;
      case "$div":
        return left / right;
      case "$mod":
        return left % right;
    }
  }
  if (typeof left === "bigint" && typeof right === "bigint") {
    if (right === 0n && (operator === "$div" || operator === "$mod")) {
      throw new FunctionError("Division by zero in a filter.");
    }
    switch (operator) {
      case "$add":
        return BigInt.asIntN(64, left + right);
      case "$sub":
        return BigInt.asIntN(64, left - right);
      case "$mul":
        return BigInt.asIntN(64, left * right);
      case "$div":
        return left / right;
      case "$mod":
        return left % right;
    }
  }
  return arithmetic(operator);
}
