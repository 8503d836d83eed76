/**
 * What is wrong with a config, in the words of whoever wrote it: the key, what it has to be, and for a misspelt key
 * the one that was meant. No value is ever quoted, since any of them may be a secret in the wrong place.
 */
import * as z from "zod";

/** The parts of a JSON schema that name keys. */
interface Shape {
  properties?: Record<string, Shape>;
  additionalProperties?: Shape | boolean;
  items?: Shape | boolean;
  anyOf?: Shape[];
  oneOf?: Shape[];
}

type Path = readonly PropertyKey[];

/**
 * Every problem that `schema` finds in `input`, a line each: `<key>: <what is wrong>`.
 * @param elsewhere keys of the whole that are known and not the schema's.
 */
export function problemsOf(
  schema: z.ZodType,
  error: z.ZodError,
  input: unknown,
  elsewhere: readonly string[] = [],
): string[] {
  let shape: Shape | undefined;
  const keysAt = (path: Path): string[] => {
    shape ??= z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Shape;
    return [...keysOf(shape, path, input), ...(path.length === 0 ? elsewhere : [])];
  };
  return error.issues.flatMap((issue) => linesOf(issue, input, keysAt));
}

/** As `pulumi config set --path` takes it: `fly.regions[0]`; `config` for the whole. */
const keyText = (path: Path): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "") || "config";

function linesOf(issue: z.core.$ZodIssue, input: unknown, keysAt: (path: Path) => string[]): string[] {
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(issue.path);
    return issue.keys.map((key) => `${keyText([...issue.path, key])}: unknown key${meant(key, known)}`);
  }
  return [`${keyText(issue.path)}: ${wordsOf(issue, valueAt(input, issue.path))}`];
}

const SHORTEST_TEXT = "must not be empty";

function wordsOf(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      return value === undefined
        ? `is missing; expected ${nounOf(issue.expected)}`
        : `expected ${nounOf(issue.expected)}, got ${kindOf(value)}`;
    case "too_small":
      if (issue.origin === "string") return SHORTEST_TEXT;
      if (issue.origin === "array") return `needs at least ${String(issue.minimum)} entry`;
      return `must be ${issue.inclusive === false ? "more than" : "at least"} ${String(issue.minimum)}`;
    case "too_big":
      // A bound with a reason of its own has a message of its own.
      if (!issue.message.startsWith("Too big")) return issue.message;
      return issue.origin === "array"
        ? `may have ${String(issue.maximum)} entries at most`
        : `must be at most ${String(issue.maximum)}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}`;
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    case "invalid_union":
      return issue.message
        .replace(/^Invalid discriminator value\. Expected /, "must be one of ")
        .replaceAll(/'([^']*)' \| |'([^']*)'/g, (_, more: string | undefined, last: string | undefined) =>
          more === undefined ? String(last) : `${more}, `,
        );
    default:
      return issue.message;
  }
}

/** What zod calls a type, as the writer of a YAML file calls it. */
function nounOf(expected: string): string {
  const nouns: Record<string, string> = {
    string: "text",
    number: "a number",
    int: "a whole number",
    boolean: "true or false",
    array: "a list",
    object: "a map of keys",
    record: "a map of keys",
  };
  return nouns[expected] ?? expected;
}

function kindOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  return nounOf(typeof value).replace("true or false", "a boolean");
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    input,
  );
}

/** Keys that are known at a path; where shapes differ by a mode, those of the mode that was chosen. */
function keysOf(shape: Shape, path: Path, input: unknown): string[] {
  let shapes = [shape];
  let value = input;
  for (const key of [...path, undefined]) {
    shapes = shapes.flatMap((each) => chosen(each, value));
    if (key === undefined) break;
    shapes = shapes.flatMap((each) => {
      const next = each.properties?.[String(key)] ?? each.items ?? each.additionalProperties;
      return typeof next === "object" ? [next] : [];
    });
    value = valueAt(value, [key]);
  }
  return shapes.flatMap((each) => Object.keys(each.properties ?? {}));
}

/** The alternatives of a shape, without those whose constant (a mode, a builder) is another one than the value's. */
function chosen(shape: Shape, value: unknown): Shape[] {
  const alternatives = shape.anyOf ?? shape.oneOf;
  if (alternatives === undefined) return [shape];
  return alternatives.filter((each) =>
    Object.entries(each.properties ?? {}).every(([key, property]) => {
      const constant = (property as { const?: unknown }).const;
      return constant === undefined || constant === valueAt(value, [key]);
    }),
  );
}

/** `; did you mean 'regions'?`, or all that are known. */
function meant(key: string, known: readonly string[]): string {
  const begun = known.find((candidate) => candidate.toLowerCase().startsWith(key.toLowerCase()));
  if (begun !== undefined) return `; did you mean '${begun}'?`;
  const closest = known
    .map((candidate) => ({ candidate, distance: distanceOf(key.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (closest !== undefined && closest.distance <= Math.max(2, Math.floor(key.length / 3))) {
    return `; did you mean '${closest.candidate}'?`;
  }
  return known.length === 0 ? "" : `; known are ${known.join(", ")}`;
}

/** Letters to insert, delete or replace until `from` is `to`. */
function distanceOf(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let index = 0; index < from.length; index += 1) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (row[column - 1] ?? 0) + (from[index] === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
