import { convexToJson, getConvexSize, jsonToConvex } from "convex/values";
import { newId } from "../values/ids.ts";
import { explainMismatch } from "../values/validate.ts";
import { BY_ID, indexKey, type Table } from "./catalog.ts";
import type { Engine } from "./engine.ts";
import { ConflictError, FunctionError } from "./errors.ts";
import { MAX_DOCUMENT_BYTES, Meter } from "./limits.ts";
import { Overlay, type Fields, type PendingDocument } from "./overlay.ts";
import { ReadSet } from "./readSet.ts";
import type { Store, StoredDocument } from "./store.ts";
import { afterKey } from "../values/keys.ts";

/** What a read returns: the JSON as stored, so that it can be passed on without being parsed. */
export interface DocumentText {
  readonly id: string;
  readonly json: string;
  readonly size: number;
}

/** Parses a stored document. */
export function parseDocument(json: string): Fields {
  return jsonToConvex(JSON.parse(json)) as Fields;
}

/**
 * One query's or mutation's view of the database. Reads see the committed state plus its own writes; when
 * other commits happen meanwhile, the next access either proves that nothing it has read changed, and moves
 * on to the newer state, or throws ConflictError. So at every moment the view is one consistent state.
 */
export class Transaction {
  readonly engine: Engine;
  readonly readSet = new ReadSet();
  readonly overlay = new Overlay();
  readonly meter = new Meter();
  readonly beginMs: number;
  #rows: ((store: Store) => void)[] = [];
  #sequence: number;
  #ts: bigint;
  #ended: Error | null = null;
  readonly #pinned: boolean;

  /** @param atTs reads the state as of this timestamp instead of the latest (queries only) */
  constructor(engine: Engine, atTs?: bigint) {
    this.engine = engine;
    this.beginMs = engine.now();
    this.#sequence = engine.sequence;
    this.#ts = engine.ts;
    this.#pinned = atTs !== undefined && atTs < engine.ts;
    if (atTs !== undefined) this.#rewind(atTs);
  }

  /** Undoes later commits in the overlay. */
  #rewind(ts: bigint): void {
    const later = this.engine.afterTs(ts);
    if (later === null) throw new FunctionError("The requested timestamp is too old to be read.");
    for (const commit of later) {
      for (const { id, table, before } of commit.documents) {
        const beforeFields = before === null ? null : parseDocument(before.json);
        const committed = this.engine.store.document(id);
        const keys = new Map<number, Buffer>();
        if (beforeFields !== null) {
          for (const index of table.indexes.values()) keys.set(index.id, indexKey(index, beforeFields));
        }
        this.overlay.set({
          id,
          table,
          before: committed,
          beforeFields: null,
          json: before?.json ?? null,
          fields: beforeFields,
          size: before?.size ?? 0,
          keys,
        });
      }
    }
    if (later.length > 0) this.#ts = ts;
  }

  /** Timestamp of the state that this transaction sees. */
  get ts(): bigint {
    return this.#ts;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get wrote(): boolean {
    return this.overlay.size > 0 || this.#rows.length > 0;
  }

  /** Ends the transaction: every later access throws `reason`. */
  end(reason: Error): void {
    this.#ended ??= reason;
  }

  /** Must be called before each access. Moves the view to the latest state, or throws. */
  refresh(): void {
    if (this.#ended !== null) throw this.#ended;
    if (this.#pinned || this.#sequence === this.engine.sequence) return;
    try {
      this.engine.check(this.readSet, this.#sequence);
    } catch (error) {
      if (error instanceof ConflictError) this.end(error);
      throw error;
    }
    this.#sequence = this.engine.sequence;
    this.#ts = this.engine.ts;
  }

  /** Checks for conflicts and makes the writes durable, in one turn. */
  commit(): bigint {
    this.refresh();
    return this.engine.commit({ documents: this.overlay.documents(), rows: this.#rows });
  }

  /** A row outside the documents that becomes durable with this transaction. */
  addRow(row: (store: Store) => void): void {
    this.#rows.push(row);
  }

  /** Opens a nested mutation. @returns a function that undoes everything since */
  savepoint(): () => void {
    const mark = this.overlay.mark();
    const rows = this.#rows.length;
    return () => {
      this.overlay.rollbackTo(mark);
      this.#rows = this.#rows.slice(0, rows);
    };
  }

  /** Reads a document by id, null when there is none. */
  get(id: string): DocumentText | null {
    this.refresh();
    const table = this.engine.catalog.tableOfId(id);
    if (table === null) return null;
    this.meter.spend("databaseQueries", 1);
    this.#readPoint(table, id);
    const found = this.#lookup(id);
    if (found === null) return null;
    this.countRead(found.size);
    return found;
  }

  #readPoint(table: Table, id: string): void {
    const index = this.engine.catalog.index(table, BY_ID);
    const key = indexKey(index, { _id: id });
    this.readSet.add(index.id, { start: key, end: afterKey(key) });
  }

  #lookup(id: string): DocumentText | null {
    const pending = this.overlay.get(id);
    if (pending === undefined) return this.engine.store.document(id);
    return pending.json === null ? null : { id, json: pending.json, size: pending.size };
  }

  countRead(size: number): void {
    this.meter.spend("documentsRead", 1);
    this.meter.spend("bytesRead", size);
  }

  /** Inserts a document. `fields` has no system fields. @returns its id */
  insert(table: Table, fields: Fields): string {
    this.refresh();
    const id = newId(table.number);
    this.#put(table, id, { ...fields, _id: id, _creationTime: this.engine.nextCreationTime() }, "insert");
    return id;
  }

  /** Replaces every field of a document but the system fields. */
  replace(id: string, change: (current: Fields) => Fields, operation: "patch" | "replace"): void {
    const { table, current } = this.#existing(id, operation);
    const next = change(current);
    next["_id"] = current["_id"];
    next["_creationTime"] = current["_creationTime"];
    this.#put(table, id, next, operation);
  }

  /** Deletes a document; throws when there is none. */
  delete(id: string): void {
    const { table } = this.#existing(id, "delete");
    const { before, beforeFields } = this.#committed(id);
    this.meter.spend("documentsWritten", 1);
    this.overlay.set({ id, table, before, beforeFields, json: null, fields: null, size: 0, keys: new Map() });
  }

  #existing(id: string, operation: string): { table: Table; current: Fields } {
    const table = this.engine.catalog.tableOfId(id);
    if (table === null) {
      throw new FunctionError(
        `Invalid argument \`id\` for \`db.${operation}\`: Unable to decode ID: Invalid ID "${id.slice(0, 64)}"`,
      );
    }
    const found = this.get(id);
    if (found === null) throw new FunctionError(`${capitalised(operation)} on nonexistent document ID ${id}`);
    return { table, current: this.overlay.get(id)?.fields ?? parseDocument(found.json) };
  }

  #committed(id: string): { before: StoredDocument | null; beforeFields: Fields | null } {
    const pending = this.overlay.get(id);
    if (pending !== undefined) return { before: pending.before, beforeFields: pending.beforeFields };
    const before = this.engine.store.document(id);
    return { before, beforeFields: before === null ? null : parseDocument(before.json) };
  }

  #put(table: Table, id: string, fields: Fields, operation: "insert" | "patch" | "replace"): void {
    this.#validate(table, fields);
    const size = getConvexSize(fields);
    if (size > MAX_DOCUMENT_BYTES) {
      throw new FunctionError(
        `Value is too large (${(size / MAX_DOCUMENT_BYTES).toFixed(2)} MiB > maximum size 1 MiB) for \`db.${operation}\` into table "${table.name}"`,
      );
    }
    this.meter.spend("documentsWritten", 1);
    this.meter.spend("bytesWritten", size);
    const keys = new Map<number, Buffer>();
    for (const index of table.indexes.values()) keys.set(index.id, indexKey(index, fields));
    const json = JSON.stringify(convexToJson(fields));
    const document: PendingDocument = { id, table, ...this.#committed(id), json, fields, size, keys };
    this.overlay.set(document);
  }

  #validate(table: Table, fields: Fields): void {
    if (table.validator === null) return;
    const reason = schemaMismatch(this.engine, table, fields);
    if (reason !== null) {
      throw new FunctionError(
        `Failed to insert or update a document in table "${table.name}" because it does not match the schema: ${reason}`,
      );
    }
  }
}

/** Why a document does not match its table's schema, or null. System fields are not the schema's business. */
export function schemaMismatch(
  engine: Engine,
  table: Table,
  fields: Fields,
  validator = table.validator,
): string | null {
  if (validator === null) return null;
  const { _id, _creationTime, ...own } = fields;
  return explainMismatch(validator, own, (id) => engine.catalog.tableOfId(id)?.name ?? null);
}

function capitalised(word: string): string {
  return word === "patch" ? "Update" : word.charAt(0).toUpperCase() + word.slice(1);
}
