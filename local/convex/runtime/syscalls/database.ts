import { convexToJson, jsonToConvex, type JSONValue, type Value } from "convex/values";
import { FunctionError } from "../../engine/errors.ts";
import type { Fields } from "../../engine/overlay.ts";
import { QueryStream, readPage, type PageRequest, type QuerySpec } from "../../engine/query.ts";
import { jsonOrUndefined } from "../../engine/ranges.ts";
import { BY_ID } from "../../engine/catalog.ts";
import { WHOLE_INDEX } from "../../engine/ranges.ts";
import { transactionOf, writableTransactionOf, type CallContext } from "../context.ts";
import { DOCUMENT_DEPTH_MAX, shapeProblem } from "../../values/shape.ts";
import { withTableCheck } from "../../engine/tableCheck.ts";

interface DocumentArgs {
  readonly id: string;
  readonly table?: string;
  readonly isSystem?: boolean;
  readonly value?: JSONValue;
}

/** Reads and writes of `ctx.db`. Arguments come from the bundled convex/server, already well-formed JSON. */
export const databaseSyscalls = {
  "1.0/get": (context: CallContext, args: DocumentArgs): string => {
    const transaction = transactionOf(context);
    return transaction.get(withTableCheck(transaction.engine.catalog, "get", args))?.json ?? "null";
  },

  "1.0/insert": (context: CallContext, args: { table: string; value: JSONValue }): string => {
    const transaction = writableTransactionOf(context);
    checkShape(args.value, "insert");
    const fields = ownFields(jsonToConvex(args.value), "insert");
    const table = transaction.engine.catalog.table(checkedTableName(args.table));
    return `{"_id":"${transaction.insert(table, fields)}"}`;
  },

  "1.0/shallowMerge": (context: CallContext, args: DocumentArgs): string => {
    const transaction = writableTransactionOf(context);
    const id = withTableCheck(transaction.engine.catalog, "patch", args);
    checkShape(args.value, "patch");
    transaction.replace(id, (current) => merged(current, args.value as Record<string, JSONValue>), "patch");
    return "null";
  },

  "1.0/replace": (context: CallContext, args: DocumentArgs): string => {
    const transaction = writableTransactionOf(context);
    const id = withTableCheck(transaction.engine.catalog, "replace", args);
    checkShape(args.value, "replace");
    const value = asFields(jsonToConvex(args.value ?? null), "replace");
    transaction.replace(id, (current) => checkSystemFields({ ...value }, current), "replace");
    return "null";
  },

  "1.0/remove": (context: CallContext, args: DocumentArgs): string => {
    const transaction = writableTransactionOf(context);
    transaction.delete(withTableCheck(transaction.engine.catalog, "delete", args));
    return "null";
  },

  "1.0/count": (context: CallContext, args: { table: string }): string => {
    const transaction = transactionOf(context);
    transaction.refresh();
    const table = transaction.engine.catalog.table(args.table);
    const index = transaction.engine.catalog.index(table, BY_ID);
    transaction.readSet.add(index.id, { start: WHOLE_INDEX.from, end: WHOLE_INDEX.to });
    let count = table.count;
    for (const document of transaction.overlay.documents()) {
      if (document.table === table)
        count += (document.json === null ? 0 : 1) - (document.before === null ? 0 : 1);
    }
    return String(count);
  },

  "1.0/queryStreamNext": (context: CallContext, args: { queryId: number }): string => {
    const stream = context.streams.get(args.queryId);
    if (stream === undefined) throw new FunctionError(`Query ${args.queryId} is not running.`);
    const found = stream.next();
    return found === null ? '{"value":null,"done":true}' : `{"value":${found.json},"done":false}`;
  },

  "1.0/queryPage": (context: CallContext, args: PageRequest): string => {
    if (context.paginated) {
      throw new FunctionError(
        "This query or mutation function ran multiple paginated queries. Convex only supports a single paginated query in each function.",
      );
    }
    context.paginated = true;
    const endCursor = args.endCursor ?? context.journal.replay;
    const page = readPage(transactionOf(context), { ...args, endCursor });
    context.journal.recorded = page.continueCursor;
    const { isDone, continueCursor, splitCursor, pageStatus } = page;
    const rest = JSON.stringify({ isDone, continueCursor, splitCursor, pageStatus });
    return `{"page":[${page.documents.map((document) => document.json).join(",")}],${rest.slice(1)}`;
  },
} as const;

/** Syscalls that answer at once: they start and end queries and look at ids. */
export const synchronousSyscalls = {
  "1.0/queryStream": (context: CallContext, args: { query: QuerySpec }): string => {
    const queryId = context.nextStream++;
    const transaction = transactionOf(context);
    transaction.refresh();
    context.streams.set(queryId, new QueryStream(transaction, args.query));
    return `{"queryId":${queryId}}`;
  },

  "1.0/queryCleanup": (context: CallContext, args: { queryId: number }): string => {
    context.streams.delete(args.queryId);
    return "null";
  },

  "1.0/db/normalizeId": (context: CallContext, args: { table: string; idString: string }): string => {
    const { catalog } = transactionOf(context).engine;
    const owner = catalog.tableOfId(args.idString);
    return JSON.stringify({ id: owner?.name === args.table ? args.idString : null });
  },

  "1.0/getSnapshotTs": (context: CallContext): string =>
    JSON.stringify(convexToJson(transactionOf(context).ts)),
} as const;

const TABLE_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

function checkedTableName(name: string): string {
  if (TABLE_NAME.test(name)) return name;
  throw new FunctionError(
    `Invalid table name ${JSON.stringify(name)}: use a letter followed by at most 63 letters, digits and underscores.`,
  );
}

function checkShape(value: JSONValue | undefined, operation: string): void {
  const problem = shapeProblem(value ?? null, DOCUMENT_DEPTH_MAX);
  if (problem !== null) throw new FunctionError(`\`db.${operation}\`: ${problem}.`);
}

function asFields(value: Value, operation: string): Fields {
  if (value === null || typeof value !== "object" || Array.isArray(value) || value instanceof ArrayBuffer) {
    throw new FunctionError(`The document given to \`db.${operation}\` must be an object.`);
  }
  return value as Fields;
}

/** The fields of a new document, which cannot have system fields yet. */
function ownFields(value: Value, operation: string): Fields {
  const fields = asFields(value, operation);
  for (const name of Object.keys(fields)) if (name.startsWith("_")) refuseSystemField(name);
  return fields;
}

function refuseSystemField(name: string): never {
  throw new FunctionError(
    `Field "${name}" starts with an underscore, which is reserved for system fields like "_id". Rename it.`,
  );
}

/** A document may carry its own system fields back, unchanged. */
function checkSystemFields(fields: Fields, current: Fields): Fields {
  for (const [name, value] of Object.entries(fields)) {
    if (name.startsWith("_") && value !== current[name]) refuseSystemField(name);
  }
  return fields;
}

function merged(current: Fields, patch: Record<string, JSONValue>): Fields {
  const next: Fields = { ...current };
  for (const [name, json] of Object.entries(patch)) {
    const value = jsonOrUndefined(json);
    if (name.startsWith("_") && value !== current[name]) refuseSystemField(name);
    if (value === undefined) delete next[name];
    else next[name] = value;
  }
  return next;
}
