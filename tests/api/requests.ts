/** For each operation of the OpenAPI document, the request that names what exists. */
import type { Described, Schema } from "../../runtime/convex/testing/apiRequests.fixture.ts";

/** Values by the name of a path parameter or of a field of a body. */
export type Known = Readonly<Record<string, unknown>>;

export interface ApiRequest {
  path: string;
  body?: unknown;
}

/** The least request that the document allows, with every optional field for which something is known. */
export function requestNaming({ path, operation }: Described, known: Known): ApiRequest {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(known[name])));
  const schema = operation["requestBody"]?.content["application/json"].schema as Schema | undefined;
  return schema === undefined ? { path: filled } : { path: filled, body: least(schema, known, "") };
}

function least(schema: Schema, known: Known, field: string): unknown {
  if (Object.hasOwn(known, field)) return known[field];
  if (schema["const"] !== undefined) return schema["const"];
  if (schema["enum"] !== undefined) return (schema["enum"] as unknown[])[0];
  const choices = (schema["anyOf"] ?? schema["oneOf"]) as Schema[] | undefined;
  if (choices?.[0] !== undefined) return least(choices[0], known, field);
  switch (schema["type"]) {
    case "string":
      return "x";
    case "number":
    case "integer":
      return schema["minimum"] ?? 1;
    case "boolean":
      return true;
    case "array":
      return [];
    default: {
      const required = (schema["required"] ?? []) as string[];
      return Object.fromEntries(
        Object.entries((schema["properties"] ?? {}) as Record<string, Schema>)
          .filter(([name]) => required.includes(name) || Object.hasOwn(known, name))
          .map(([name, inner]) => [name, least(inner, known, name)]),
      );
    }
  }
}
