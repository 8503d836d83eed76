/**
 * What Convex stores and carries at all, whatever a validator says. Its own clients check some of it; the server refuses
 * the rest, and Node, which would take everything, must not hide that.
 */
import type { JSONValue } from "convex/values";

/** Convex's limits of one array, of one object, and of how deep they may stand in one another. */
const ARRAY_ITEMS_MAX = 8_192;
const OBJECT_FIELDS_MAX = 1_024;
/** A document is held to less than what travels as arguments and results. */
export const DOCUMENT_DEPTH_MAX = 16;
export const VALUE_DEPTH_MAX = 64;

/** JSON.stringify writes half of a surrogate pair as an escape and a whole one as it is. */
const HALF_PAIR = /(?<!\\)(?:\\\\)*\\ud[89a-f][0-9a-f]{2}/i;

/** Strings are Unicode: half of a surrogate pair is refused. `json` as JSON.stringify writes it. */
export function hasHalfPair(json: string): boolean {
  return HALF_PAIR.test(json);
}

/** The first limit that a value breaks; null when it breaks none. */
export function shapeProblem(value: JSONValue, depthMax: number): string | null {
  if (typeof value !== "object" || value === null) return null;
  if (depthMax === 0) return "Value is too nested";
  const items = Array.isArray(value) ? value : Object.values(value);
  if (Array.isArray(value) && items.length > ARRAY_ITEMS_MAX) {
    return `Array length is too long (${items.length} > maximum length ${ARRAY_ITEMS_MAX})`;
  }
  if (!Array.isArray(value) && items.length > OBJECT_FIELDS_MAX) {
    return `Object has too many fields (${items.length} > maximum number ${OBJECT_FIELDS_MAX})`;
  }
  for (const item of items) {
    const problem = item === undefined ? null : shapeProblem(item, depthMax - 1);
    if (problem !== null) return problem;
  }
  return null;
}
