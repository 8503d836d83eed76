import type { Operation, Selection, Value } from "./parse.ts";

/** A refused field: becomes an entry of `errors`, with the code in `extensions`. */
export class GraphqlFieldError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** An object of the answer: plain values, other objects, lists, or a function that makes one of these when asked. */
export interface GraphqlObject {
  [field: string]: GraphqlValue | (() => GraphqlValue);
}
export type GraphqlValue = string | number | boolean | null | GraphqlObject | GraphqlObject[];

export type Arguments = Record<string, unknown>;
export type Resolver = (args: Arguments) => GraphqlValue;
export interface RootFields {
  query: Record<string, Resolver>;
  mutation: Record<string, Resolver>;
}

/** Runs an operation against the root fields; a field that does not exist is refused, so a misspelt query shows. */
export function execute(
  operation: Operation,
  variables: Record<string, unknown>,
  roots: RootFields,
): Record<string, unknown> {
  const root = roots[operation.kind];
  const type = operation.kind === "query" ? "Queries" : "Mutations";
  const data: Record<string, unknown> = {};
  for (const selection of operation.selections) {
    const resolver = root[selection.name];
    if (resolver === undefined) throw missing(selection.name, type);
    const args = Object.fromEntries(
      Object.entries(selection.args).map(([name, value]) => [name, fill(value, variables)]),
    );
    data[selection.key] = project(resolver(args), selection);
  }
  return data;
}

function project(value: GraphqlValue, selection: Selection): unknown {
  if (Array.isArray(value)) return value.map((item) => project(item, selection));
  if (value === null || typeof value !== "object") return value;
  if (selection.selections.length === 0) {
    throw new GraphqlFieldError("selectionMismatch", `Field '${selection.name}' must have selections`);
  }
  const result: Record<string, unknown> = {};
  for (const inner of selection.selections) {
    const field = value[inner.name];
    if (field === undefined) throw missing(inner.name, selection.name);
    result[inner.key] = project(typeof field === "function" ? field() : field, inner);
  }
  return result;
}

function fill(value: Value, variables: Record<string, unknown>): unknown {
  switch (value.kind) {
    case "literal":
      return value.value;
    case "variable":
      return variables[value.name] ?? null;
    case "list":
      return value.items.map((item) => fill(item, variables));
    case "object":
      return Object.fromEntries(
        Object.entries(value.fields).map(([name, inner]) => [name, fill(inner, variables)]),
      );
  }
}

const missing = (field: string, type: string): GraphqlFieldError =>
  new GraphqlFieldError("undefinedField", `Field '${field}' doesn't exist on type '${type}'`);
