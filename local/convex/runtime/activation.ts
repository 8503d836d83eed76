import type { Schema, TableSchema } from "../deploy/pushes.ts";
import { indexKey, type Index, type Table } from "../engine/catalog.ts";
import type { Engine } from "../engine/engine.ts";
import type { Fields } from "../engine/overlay.ts";
import { WHOLE_INDEX } from "../engine/ranges.ts";
import { parseDocument, schemaMismatch } from "../engine/transaction.ts";
import { afterKey } from "../values/keys.ts";
import type { DatabaseIndex, IndexDiff } from "./protocol.ts";

export const ACTIVE_PUSH = "activePush";
const BLOCK = 500;

export interface SchemaViolation {
  readonly error: string;
  readonly table: string;
}

function* everyDocument(engine: Engine, table: Table): Generator<{ row: number; fields: Fields }> {
  const index = engine.catalog.index(table, "by_id");
  let from = WHOLE_INDEX.from;
  for (;;) {
    const entries = engine.store.entries(index.id, from, WHOLE_INDEX.to, false, BLOCK);
    for (const entry of entries) yield { row: entry.row, fields: parseDocument(entry.json) };
    const last = entries.at(-1);
    if (last === undefined || entries.length < BLOCK) return;
    from = afterKey(last.key);
  }
}

/** The first committed document that a new schema does not allow, or null. */
export function findViolation(engine: Engine, schema: Schema | null): SchemaViolation | null {
  if (schema === null || !schema.schemaValidation) return null;
  for (const { tableName, documentType } of schema.tables) {
    const table = engine.catalog.find(tableName);
    if (table === undefined || documentType === null) continue;
    // Documents that were checked against the same validator when they were written still match it.
    if (JSON.stringify(table.validator) === JSON.stringify(documentType)) continue;
    for (const { fields } of everyDocument(engine, table)) {
      const reason = schemaMismatch(engine, table, fields, documentType);
      if (reason === null) continue;
      const id = fields["_id"] as string;
      return {
        table: tableName,
        error: `Document with ID "${id}" in table "${tableName}" does not match the schema: ${reason}`,
      };
    }
  }
  return null;
}

function wantedIndexes(schema: Schema | null): Map<string, TableSchema["indexes"]> {
  return new Map((schema?.tables ?? []).map((table) => [table.tableName, table.indexes]));
}

function described(table: Table, index: Index): DatabaseIndex {
  return { name: `${table.name}.${index.name}`, type: "database", fields: index.fields };
}

function userIndexes(table: Table): Index[] {
  return [...table.indexes.values()].filter(
    ({ name }) => !name.startsWith("_") && name !== "by_id" && name !== "by_creation_time",
  );
}

function sameFields(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((field, position) => field === b[position]);
}

/** `_creationTime` at the end of an index's fields is implied; some tools write it out. */
function declaredFields(fields: readonly string[]): readonly string[] {
  return fields.at(-1) === "_creationTime" ? fields.slice(0, -1) : fields;
}

/** Which indexes a schema adds and removes. */
export function diffIndexes(engine: Engine, schema: Schema | null): IndexDiff {
  const wanted = wantedIndexes(schema);
  const added: DatabaseIndex[] = [];
  const removed: DatabaseIndex[] = [];
  for (const [tableName, indexes] of wanted) {
    const table = engine.catalog.find(tableName);
    for (const { indexDescriptor, fields } of indexes) {
      const known = table?.indexes.get(indexDescriptor);
      if (known !== undefined && sameFields(known.fields, declaredFields(fields))) continue;
      added.push({
        name: `${tableName}.${indexDescriptor}`,
        type: "database",
        fields: declaredFields(fields),
      });
    }
  }
  for (const table of engine.catalog.tables()) {
    const names = new Map((wanted.get(table.name) ?? []).map((one) => [one.indexDescriptor, one.fields]));
    for (const index of userIndexes(table)) {
      const fields = names.get(index.name);
      if (fields === undefined || !sameFields(index.fields, declaredFields(fields)))
        removed.push(described(table, index));
    }
  }
  return { added_indexes: added, removed_indexes: removed };
}

/** Makes a schema's tables and indexes real. Call inside a SQLite transaction; existing documents are indexed. */
export function applySchema(engine: Engine, schema: Schema | null): void {
  const { added_indexes, removed_indexes } = diffIndexes(engine, schema);
  for (const { name } of removed_indexes) {
    const [table, index] = locate(engine, name);
    engine.catalog.dropIndex(table, engine.catalog.index(table, index));
  }
  for (const { tableName } of schema?.tables ?? []) engine.catalog.persist(engine.catalog.table(tableName));
  for (const { name, fields } of added_indexes) {
    const [table, indexName] = locate(engine, name);
    const index = engine.catalog.addIndex(table, indexName, fields);
    for (const { row, fields: document } of everyDocument(engine, table)) {
      engine.store.insertEntry(index.id, indexKey(index, document), row);
    }
  }
}

function locate(engine: Engine, name: string): [Table, string] {
  const separator = name.indexOf(".");
  return [engine.catalog.table(name.slice(0, separator)), name.slice(separator + 1)];
}

/** Puts the schema's validators in force, after its tables exist. */
export function enforceSchema(engine: Engine, schema: Schema | null): void {
  const enforced = schema?.schemaValidation === true ? schema.tables : [];
  const types = new Map(enforced.map((table) => [table.tableName, table.documentType]));
  for (const table of engine.catalog.tables()) table.validator = types.get(table.name) ?? null;
}

/** The push that is in force, or null before the first deploy. */
export function activePush(engine: Engine): string | null {
  return engine.store.meta(ACTIVE_PUSH);
}
