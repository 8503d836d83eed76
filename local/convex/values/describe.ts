import { convexToJson, type GenericValidator, type Value, type ValidatorJSON } from "convex/values";

/** The wire form of a validator, as `exportArgs()` and a schema's `documentType` carry it. */
export type ValidatorJson = ValidatorJSON;
export type { GenericValidator };

const MAX_TEXT = 2_000;

function clipped(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}

/** A value as shown in an error message. */
export function describeValue(value: Value): string {
  return clipped(describe(value));
}

function describe(value: Value): string {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof ArrayBuffer) return `Bytes(${value.byteLength})`;
  if (Array.isArray(value)) return `[${value.map(describe).join(", ")}]`;
  if (value !== null && typeof value === "object" && !("toJSON" in value)) {
    const fields = Object.entries(value).map(([name, item]) => `${name}: ${describe(item as Value)}`);
    return fields.length === 0 ? "{}" : `{${fields.join(", ")}}`;
  }
  if (typeof value === "number") return `${value}${Number.isInteger(value) ? ".0" : ""}`;
  return JSON.stringify(convexToJson(value));
}

/** A validator in the notation of `v`, as shown in an error message. */
export function describeValidator(validator: ValidatorJson): string {
  return clipped(notation(validator));
}

function notation(validator: ValidatorJson): string {
  switch (validator.type) {
    case "null":
      return "v.null()";
    case "number":
      return "v.float64()";
    case "bigint":
      return "v.int64()";
    case "boolean":
    case "string":
    case "bytes":
    case "any":
    case "commitTs":
      return `v.${validator.type}()`;
    case "literal":
      return `v.literal(${JSON.stringify(validator.value)})`;
    case "id":
      return `v.id("${validator.tableName}")`;
    case "array":
      return `v.array(${notation(validator.value)})`;
    case "record":
      return `v.record(${notation(validator.keys)}, ${notation(validator.values.fieldType)})`;
    case "union":
      return `v.union(${validator.value.map(notation).join(", ")})`;
    case "object": {
      const fields = Object.entries(validator.value).map(([name, field]) => {
        const inner = notation(field.fieldType);
        return `${name}: ${field.optional ? `v.optional(${inner})` : inner}`;
      });
      return `v.object({${fields.join(", ")}})`;
    }
  }
}
