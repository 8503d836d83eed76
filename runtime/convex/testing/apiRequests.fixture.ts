/** Requests made from the OpenAPI document that a deployment serves: fitting it, or spoilt somewhere. */
import fc from "fast-check";

// oxlint-disable-next-line typescript/no-explicit-any -- a JSON Schema from the wire, walked by its own shape
export type Schema = Record<string, any>;
export type Described = { method: string; path: string; operation: Schema };

/** The document's operations. */
export const described = (doc: Schema): Described[] =>
  Object.entries(doc["paths"] as Schema).flatMap(([path, methods]) =>
    Object.entries(methods as Schema).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );

/** Values that fit a schema as far as this API's schemas go. */
export function fitting(schema: Schema): fc.Arbitrary<unknown> {
  if (schema["const"] !== undefined) return fc.constant(schema["const"]);
  if (schema["enum"] !== undefined) return fc.constantFrom(...(schema["enum"] as unknown[]));
  const choices = schema["anyOf"] ?? schema["oneOf"];
  if (choices !== undefined) return fc.oneof(...(choices as Schema[]).map(fitting));
  switch (schema["type"]) {
    case "string":
      return fc.oneof(
        fc.stringMatching(/^[a-z0-9-]{1,12}$/),
        fc.constantFrom("default", "09:30", "Europe/Rome", "https://acme.example/hook", "ada"),
      );
    case "integer":
      return fc.integer(rangeOf(schema));
    case "number":
      return fc.integer({ min: 0, max: 31 });
    case "boolean":
      return fc.boolean();
    case "array":
      return fc.array(fitting(schema["items"] as Schema), { maxLength: 3 });
    case "object": {
      const properties = Object.entries((schema["properties"] ?? {}) as Record<string, Schema>);
      return fc.record(Object.fromEntries(properties.map(([name, inner]) => [name, fitting(inner)])), {
        requiredKeys: (schema["required"] ?? []) as string[],
      });
    }
    default:
      return fc.jsonValue();
  }
}

function rangeOf(schema: Schema): { min: number; max: number } {
  const min = Math.max(schema["minimum"] ?? 0, -1_000_000);
  return { min, max: Math.min(schema["maximum"] ?? min + 100, min + 100_000_000) };
}

export type ApiCall = { method: string; path: string; body?: unknown };

/** Bodies that fit no operation. */
const spoiltBody = fc.oneof(
  fc.jsonValue(),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom("{", "", "x".repeat(600_000), '{"__proto__":1}', "[".repeat(30_000)),
);

/** A request of one operation: fitting the document, or spoilt somewhere; `spoilt`: never with a body that fits. */
export function requestFor(
  { method, path, operation }: Described,
  { spoilt = false }: { spoilt?: boolean } = {},
): fc.Arbitrary<ApiCall> {
  const body = operation["requestBody"]?.content["application/json"].schema as Schema | undefined;
  const segment = fc.oneof(
    fc.stringMatching(/^[a-z0-9]{1,32}$/),
    fc.constantFrom("c1", "ada", "..", "%2e%2e%2f", "%ff", "%00", "null", "__proto__"),
    fc.string({ maxLength: 20 }).map(encodeSafely),
  );
  const query = fc.oneof(
    fc.constant(""),
    fc.constantFrom(
      "?limit=0",
      "?limit=1e9",
      "?after=x",
      "?waitMs=-1",
      "?waitMs=0&limit=5",
      "?cursor=%00",
      "?limit=1&limit=2",
    ),
  );
  const fit = body === undefined || spoilt ? [] : [{ weight: 3, arbitrary: fitting(body) }];
  const bodies =
    body === undefined ? fc.constant(undefined) : fc.oneof(...fit, { weight: 2, arbitrary: spoiltBody });
  return fc
    .tuple(fc.array(segment, { minLength: 2, maxLength: 2 }), query, bodies)
    .map(([segments, search, value]) => {
      let used = 0;
      const filled = path.replace(/\{\w+\}/g, () => segments[used++] ?? "x");
      return { method, path: `${filled}${search}`, ...(value === undefined ? {} : { body: value }) };
    });
}

function encodeSafely(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udfff]/g, "")) || "x";
}

/** What stands where a service key should: nothing, another's, one that lacks the scope, near misses, noise. */
export const wrongKey = (serviceKey: string, withoutScope: string): fc.Arbitrary<string | null> =>
  fc.oneof(
    fc.constantFrom(
      null,
      "",
      "Bearer",
      withoutScope,
      `${serviceKey}x`,
      serviceKey.slice(0, -1),
      serviceKey.replace("afk_", ""),
    ),
    fc.stringMatching(/^afk_[a-z2-9]{12}_[A-Za-z0-9_-]{43}$/),
    fc.stringMatching(/^[!-~]{0,200}$/),
  );
