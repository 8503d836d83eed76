/**
 * A database in memory with the tables and indexes of our schema, for handlers that expect a Convex `ctx.db`.
 * Transactions run one at a time and roll back when they throw. It counts what each transaction reads and
 * writes.
 */
import schema from "../../runtime/convex/schema.ts";
import { type Bound, type IndexSpec, type MemoryDoc, MemoryTable, type Value } from "./memoryTable.ts";

export type Usage = {
  documentsRead: number;
  bytesRead: number;
  documentsWritten: number;
  bytesWritten: number;
};

const emptyUsage = (): Usage => ({ documentsRead: 0, bytesRead: 0, documentsWritten: 0, bytesWritten: 0 });
/** Documents that hold one paginated position; opaque to handlers. */
const END_OF_RANGE = "end";

type RangeStep = { field: string; op: "eq" | "gt" | "gte" | "lt" | "lte"; value: Value };

export class MemoryDb {
  readonly tables = new Map<string, MemoryTable>();
  usage = emptyUsage();
  /** Sizes are measured only when asked for: they cost more than everything else together. */
  measureBytes = false;
  #undo: Array<() => void> = [];
  #nextId = 1;
  #lastCreationTime = 0;

  constructor() {
    for (const [name, definition] of Object.entries(schema.tables)) {
      // Convex's own tools read a table's indexes through this method; the types hide it.
      const withIndexes = definition as unknown as { " indexes"(): IndexSpec[] };
      this.tables.set(name, new MemoryTable(withIndexes[" indexes"]()));
    }
    this.tables.set("_scheduled_functions", new MemoryTable([]));
    this.tables.set("_storage", new MemoryTable([]));
  }

  /** Runs a transaction: all of its writes, or none. */
  async transact<T>(body: () => Promise<T>): Promise<T> {
    this.usage = emptyUsage();
    this.#undo = [];
    try {
      return await body();
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo();
      throw error;
    } finally {
      this.#undo = [];
    }
  }

  table(name: string): MemoryTable {
    const table = this.tables.get(name);
    if (table === undefined) throw new Error(`no table ${name}`);
    return table;
  }

  /** For checkers, outside transactions: not counted. */
  all(name: string): MemoryDoc[] {
    return [...this.table(name).docs.values()];
  }

  noteRead(doc: MemoryDoc): MemoryDoc {
    this.usage.documentsRead += 1;
    if (this.measureBytes) this.usage.bytesRead += JSON.stringify(doc).length;
    return doc;
  }

  onRollback(undo: () => void): void {
    this.#undo.push(undo);
  }

  insert(tableName: string, fields: Record<string, Value>): string {
    const id = `${tableName}:${this.#nextId++}`;
    // Strictly growing, as in Convex, also within one millisecond.
    this.#lastCreationTime = Math.max(Date.now(), this.#lastCreationTime + 1 / 1024);
    this.#write(tableName, { ...fields, _id: id, _creationTime: this.#lastCreationTime });
    return id;
  }

  get(tableName: string, id: string): MemoryDoc | null {
    const doc = this.table(tableName).docs.get(id);
    return doc === undefined ? null : this.noteRead(doc);
  }

  patch(tableName: string, id: string, changes: Record<string, Value>): void {
    const doc = this.#existing(tableName, id);
    const next: MemoryDoc = { ...doc };
    for (const [field, value] of Object.entries(changes)) {
      if (value === undefined) delete next[field];
      else next[field] = value;
    }
    this.#write(tableName, next);
  }

  replace(tableName: string, id: string, fields: Record<string, Value>): void {
    const { _id, _creationTime } = this.#existing(tableName, id);
    this.#write(tableName, { ...fields, _id, _creationTime });
  }

  delete(tableName: string, id: string): void {
    const table = this.table(tableName);
    const doc = this.#existing(tableName, id);
    table.remove(id);
    this.usage.documentsWritten += 1;
    this.#undo.push(() => table.put(doc));
  }

  #existing(tableName: string, id: string): MemoryDoc {
    const doc = this.table(tableName).docs.get(id);
    if (doc === undefined) throw new Error(`no document ${id} in ${tableName}`);
    return doc;
  }

  #write(tableName: string, doc: MemoryDoc): void {
    for (const [field, value] of Object.entries(doc)) if (value === undefined) delete doc[field];
    const table = this.table(tableName);
    const before = table.docs.get(doc._id);
    table.put(Object.freeze(doc));
    this.usage.documentsWritten += 1;
    if (this.measureBytes) this.usage.bytesWritten += JSON.stringify(doc).length;
    this.#undo.push(() => {
      if (before === undefined) table.remove(doc._id);
      else table.put(before);
    });
  }
}

/** The builder that `withIndex` hands to its callback. */
function rangeBuilder(steps: RangeStep[]): Record<RangeStep["op"], (field: string, value: Value) => unknown> {
  const builder = {} as Record<RangeStep["op"], (field: string, value: Value) => unknown>;
  for (const op of ["eq", "gt", "gte", "lt", "lte"] as const) {
    builder[op] = (field, value) => {
      steps.push({ field, op, value });
      return builder;
    };
  }
  return builder;
}

function boundsOf(fields: readonly string[], steps: readonly RangeStep[]): { lower: Bound; upper: Bound } {
  const equal: Value[] = [];
  let lower: Bound | null = null;
  let upper: Bound | null = null;
  for (const { field, op, value } of steps) {
    const wanted = fields[equal.length];
    if (field !== wanted) throw new Error(`index range names ${field}, the next field is ${wanted}`);
    if (op === "eq") {
      if (lower !== null || upper !== null) throw new Error("eq after a bound");
      equal.push(value);
    } else if (op === "gt" || op === "gte") lower = { prefix: [...equal, value], inclusive: op === "gte" };
    else upper = { prefix: [...equal, value], inclusive: op === "lte" };
  }
  // As in Convex, a bound on one side stays inside the prefix on the other, and includes absent values below it.
  return {
    lower: lower ?? { prefix: equal, inclusive: true },
    upper: upper ?? { prefix: equal, inclusive: true },
  };
}

/** A Convex query over one index range. */
export class MemoryQuery implements AsyncIterable<MemoryDoc> {
  readonly #db: MemoryDb;
  readonly #table: string;
  #index = "by_creation_time";
  #steps: RangeStep[] = [];
  #descending = false;

  constructor(db: MemoryDb, table: string) {
    this.#db = db;
    this.#table = table;
  }

  withIndex(name: string, range?: (q: never) => unknown): this {
    this.#index = name;
    range?.(rangeBuilder(this.#steps) as never);
    return this;
  }

  order(direction: "asc" | "desc"): this {
    this.#descending = direction === "desc";
    return this;
  }

  *#documents(): Generator<MemoryDoc> {
    const table = this.#db.table(this.#table);
    const { lower, upper } = boundsOf(table.fieldsOf(this.#index), this.#steps);
    for (const doc of table.range(this.#index, lower, upper, this.#descending)) yield doc;
  }

  async take(count: number): Promise<MemoryDoc[]> {
    const taken: MemoryDoc[] = [];
    for (const doc of this.#documents()) {
      if (taken.length >= count) break;
      taken.push(this.#db.noteRead(doc));
    }
    return taken;
  }

  async first(): Promise<MemoryDoc | null> {
    return (await this.take(1))[0] ?? null;
  }

  async unique(): Promise<MemoryDoc | null> {
    const found = await this.take(2);
    if (found.length > 1) throw new Error("unique() found several documents");
    return found[0] ?? null;
  }

  async collect(): Promise<MemoryDoc[]> {
    return await this.take(Number.MAX_SAFE_INTEGER);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MemoryDoc> {
    for (const doc of this.#documents()) yield this.#db.noteRead(doc);
  }

  async paginate(opts: { numItems: number; cursor: string | null }): Promise<{
    page: MemoryDoc[];
    isDone: boolean;
    continueCursor: string;
  }> {
    const page: MemoryDoc[] = [];
    // The cursor is the last document's index key: positions survive the deletion of what they name.
    const table = this.#db.table(this.#table);
    const fields = table.fieldsOf(this.#index);
    const { lower, upper } = boundsOf(fields, this.#steps);
    const after =
      opts.cursor === null || opts.cursor === END_OF_RANGE ? null : (JSON.parse(opts.cursor) as Value[]);
    if (opts.cursor === END_OF_RANGE) return { page, isDone: true, continueCursor: END_OF_RANGE };
    const position =
      after === null ? null : { prefix: after.map((value) => value ?? undefined), inclusive: false };
    const [from, to] = this.#descending ? [lower, position ?? upper] : [position ?? lower, upper];
    let last: MemoryDoc | undefined;
    for (const doc of table.range(this.#index, from, to, this.#descending)) {
      if (page.length >= opts.numItems) {
        const key = fields.map((field) => (last as Record<string, Value>)[field] ?? null);
        return { page, isDone: false, continueCursor: JSON.stringify(key) };
      }
      page.push(this.#db.noteRead(doc));
      last = doc;
    }
    return { page, isDone: true, continueCursor: END_OF_RANGE };
  }
}
