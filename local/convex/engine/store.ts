import { DatabaseSync, type StatementSync } from "node:sqlite";

/** A committed document. `row` is its SQLite row number, which index entries point to. */
export interface StoredDocument {
  readonly row: number;
  readonly id: string;
  /** The document in Convex's JSON encoding, system fields included. */
  readonly json: string;
  /** Size in bytes as Convex counts it against limits. */
  readonly size: number;
}

export interface StoredEntry extends StoredDocument {
  readonly key: Buffer;
}

/** `value` is null-free JSON or text; absent tables are created, existing ones are left alone. */
const LAYOUT = `
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock(one INTEGER PRIMARY KEY CHECK (one = 1), ts TEXT NOT NULL, creation_time REAL NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, '0', 0);
CREATE TABLE IF NOT EXISTS tables(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS indexes(id INTEGER PRIMARY KEY, table_number INTEGER NOT NULL, name TEXT NOT NULL, fields TEXT NOT NULL, UNIQUE(table_number, name));
CREATE TABLE IF NOT EXISTS documents(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, json TEXT NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries(index_id INTEGER NOT NULL, key BLOB NOT NULL, row INTEGER NOT NULL, PRIMARY KEY(index_id, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS env(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crons(name TEXT PRIMARY KEY, spec TEXT NOT NULL, next_ms REAL NOT NULL, running INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files(blob TEXT PRIMARY KEY, storage_id TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests(session TEXT NOT NULL, request INTEGER NOT NULL, at_ms REAL NOT NULL, ts TEXT NOT NULL, reply TEXT NOT NULL, PRIMARY KEY(session, request)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_by_age ON requests(at_ms);
`;

/** Durable rows. Knows SQL and nothing of Convex's semantics. */
export class Store {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string) {
    this.db = new DatabaseSync(path);
    // NORMAL in WAL mode survives SIGKILL of any process (the kernel holds the pages) and never corrupts;
    // only a power cut may lose the last commits, which a loopback deployment can afford.
    this.db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;");
    this.db.exec("PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;");
    this.db.exec(LAYOUT);
  }

  /** A prepared statement, prepared once per text. */
  sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** Runs `work` in one SQLite transaction; any throw undoes all of it. */
  atomically<T>(work: () => T): T {
    this.sql("BEGIN IMMEDIATE").run();
    try {
      const result = work();
      this.sql("COMMIT").run();
      return result;
    } catch (error) {
      this.sql("ROLLBACK").run();
      throw error;
    }
  }

  meta(name: string): string | null {
    const row = this.sql("SELECT value FROM meta WHERE name = ?").get(name);
    return row === undefined ? null : String(row["value"]);
  }

  setMeta(name: string, value: string): void {
    this.sql("INSERT INTO meta VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value").run(
      name,
      value,
    );
  }

  document(id: string): StoredDocument | null {
    const row = this.sql("SELECT row, id, json, size FROM documents WHERE id = ?").get(id);
    return row === undefined ? null : (row as unknown as StoredDocument);
  }

  /**
   * Index entries with `from <= key < to` and their documents, in key order.
   * @param limit at most this many
   */
  entries(indexId: number, from: Buffer, to: Buffer, descending: boolean, limit: number): StoredEntry[] {
    const statement = descending ? ENTRIES_DESCENDING : ENTRIES_ASCENDING;
    const rows = this.sql(statement).all(indexId, from, to, limit);
    return rows.map((row) => {
      const key = row["key"] as Uint8Array;
      return {
        key: Buffer.from(key.buffer, key.byteOffset, key.byteLength),
        row: row["row"] as number,
        id: row["id"] as string,
        json: row["json"] as string,
        size: row["size"] as number,
      };
    });
  }

  insertDocument(id: string, json: string, size: number): number {
    const result = this.sql("INSERT INTO documents(id, json, size) VALUES (?, ?, ?)").run(id, json, size);
    return Number(result.lastInsertRowid);
  }

  updateDocument(row: number, json: string, size: number): void {
    this.sql("UPDATE documents SET json = ?, size = ? WHERE row = ?").run(json, size, row);
  }

  deleteDocument(row: number): void {
    this.sql("DELETE FROM documents WHERE row = ?").run(row);
  }

  insertEntry(indexId: number, key: Buffer, row: number): void {
    this.sql("INSERT INTO entries VALUES (?, ?, ?)").run(indexId, key, row);
  }

  deleteEntry(indexId: number, key: Buffer): void {
    this.sql("DELETE FROM entries WHERE index_id = ? AND key = ?").run(indexId, key);
  }

  countEntries(indexId: number): number {
    const row = this.sql("SELECT count(*) AS n FROM entries WHERE index_id = ?").get(indexId);
    return row === undefined ? 0 : Number(row["n"]);
  }

  close(): void {
    this.#statements.clear();
    this.db.close();
  }
}

// CROSS JOIN fixes the join order: walk the index, look each document up.
const ENTRIES = `SELECT e.key AS key, d.row AS row, d.id AS id, d.json AS json, d.size AS size
FROM entries e CROSS JOIN documents d ON d.row = e.row
WHERE e.index_id = ? AND e.key >= ? AND e.key < ? ORDER BY e.key`;
const ENTRIES_ASCENDING = `${ENTRIES} ASC LIMIT ?`;
const ENTRIES_DESCENDING = `${ENTRIES} DESC LIMIT ?`;
