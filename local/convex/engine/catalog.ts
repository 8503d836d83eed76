import type { Value } from "convex/values";
import type { ValidatorJson } from "../values/describe.ts";
import { tableNumberOf } from "../values/ids.ts";
import { encodeKey, fieldAt } from "../values/keys.ts";
import type { Store } from "./store.ts";

export interface Index {
  readonly id: number;
  readonly name: string;
  /** The fields of the key, the `_creationTime` and `_id` tie-breakers excluded. */
  readonly fields: readonly string[];
}

export interface Table {
  readonly number: number;
  readonly name: string;
  readonly indexes: Map<string, Index>;
  /** The schema's document type, null when documents of this table are not checked. */
  validator: ValidatorJson | null;
  /** Committed documents. */
  count: number;
  /** False until the table is written: a query may name a table that does not exist yet. */
  persisted: boolean;
}

export const STORAGE_TABLE = "_storage";
export const SCHEDULED_TABLE = "_scheduled_functions";
export const BY_ID = "by_id";
export const BY_CREATION_TIME = "by_creation_time";
/** Finds the scheduled functions that are due; not visible to user code. */
export const BY_STATE = "_by_state";

/** System tables have small numbers, so their ids are one letter shorter, as Convex's are. */
const SYSTEM_TABLES: ReadonlyMap<string, number> = new Map([
  [STORAGE_TABLE, 1],
  [SCHEDULED_TABLE, 2],
]);
const FIRST_USER_TABLE = 10_001;

/** The ordered key of a document in an index. */
export function indexKey(index: Index, document: Record<string, Value | undefined>): Buffer {
  const fields: (Value | undefined)[] = index.fields.map((field) => fieldAt(document as Value, field));
  if (index.name !== BY_ID) {
    if (index.name !== BY_CREATION_TIME) fields.push(document["_creationTime"]);
    fields.push(document["_id"]);
  }
  return encodeKey(fields);
}

/** Tables and indexes by name, number and id; the schema's validators. */
export class Catalog {
  readonly #store: Store;
  readonly #byName = new Map<string, Table>();
  readonly #byNumber = new Map<number, Table>();
  #nextNumber = FIRST_USER_TABLE;
  #nextIndexId = 1;

  constructor(store: Store) {
    this.#store = store;
    for (const row of store.sql("SELECT number, name FROM tables").all()) {
      this.#add(row["number"] as number, row["name"] as string, true);
    }
    for (const row of store.sql("SELECT id, table_number, name, fields FROM indexes").all()) {
      const table = this.#byNumber.get(row["table_number"] as number);
      if (table === undefined) continue;
      const fields = JSON.parse(row["fields"] as string) as string[];
      const index = { id: row["id"] as number, name: row["name"] as string, fields };
      table.indexes.set(index.name, index);
      this.#nextIndexId = Math.max(this.#nextIndexId, index.id + 1);
    }
    for (const table of this.#byName.values()) {
      this.#addSystemIndexes(table);
      table.count = store.countEntries(this.index(table, BY_ID).id);
    }
    for (const name of SYSTEM_TABLES.keys()) {
      const table = this.table(name);
      store.atomically(() => this.persist(table));
    }
    const scheduled = this.table(SCHEDULED_TABLE);
    if (!scheduled.indexes.has(BY_STATE)) {
      store.atomically(() => this.addIndex(scheduled, BY_STATE, ["state.kind", "scheduledTime"]));
    }
  }

  #add(number: number, name: string, persisted: boolean): Table {
    const table: Table = { number, name, indexes: new Map(), validator: null, count: 0, persisted };
    this.#byName.set(name, table);
    this.#byNumber.set(number, table);
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
    return table;
  }

  #addSystemIndexes(table: Table): void {
    for (const [name, fields] of [
      [BY_ID, ["_id"]],
      [BY_CREATION_TIME, ["_creationTime"]],
    ] as const) {
      if (!table.indexes.has(name)) table.indexes.set(name, { id: this.#nextIndexId++, name, fields });
    }
  }

  /** The table with this name; a name never seen before gets a number that is not yet durable. */
  table(name: string): Table {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const number = SYSTEM_TABLES.get(name) ?? this.#nextNumber;
    const table = this.#add(number, name, false);
    this.#addSystemIndexes(table);
    return table;
  }

  find(name: string): Table | undefined {
    return this.#byName.get(name);
  }

  tableOfId(id: string): Table | null {
    const number = tableNumberOf(id);
    return number === null ? null : (this.#byNumber.get(number) ?? null);
  }

  tables(): Table[] {
    return [...this.#byName.values()];
  }

  index(table: Table, name: string): Index {
    const index = table.indexes.get(name);
    if (index === undefined) throw new Error(`Index ${table.name}.${name} not found.`);
    return index;
  }

  /** Makes a table durable. Call inside a SQLite transaction. */
  persist(table: Table): void {
    if (table.persisted) return;
    this.#store.sql("INSERT OR IGNORE INTO tables VALUES (?, ?)").run(table.number, table.name);
    for (const index of table.indexes.values()) this.#persistIndex(table, index);
    table.persisted = true;
  }

  #persistIndex(table: Table, index: Index): void {
    this.#store
      .sql("INSERT OR IGNORE INTO indexes VALUES (?, ?, ?, ?)")
      .run(index.id, table.number, index.name, JSON.stringify(index.fields));
  }

  /** Adds an empty index. Call inside a SQLite transaction; the caller fills it. */
  addIndex(table: Table, name: string, fields: readonly string[]): Index {
    const index = { id: this.#nextIndexId++, name, fields };
    table.indexes.set(name, index);
    this.persist(table);
    this.#persistIndex(table, index);
    return index;
  }

  /** Removes an index and its entries. Call inside a SQLite transaction. */
  dropIndex(table: Table, index: Index): void {
    table.indexes.delete(index.name);
    this.#store.sql("DELETE FROM entries WHERE index_id = ?").run(index.id);
    this.#store.sql("DELETE FROM indexes WHERE id = ?").run(index.id);
  }
}
