import { DatabaseSync } from "node:sqlite";

/**
 * One SQLite file holds everything but blobs and machine folders. WAL with synchronous=NORMAL: a SIGKILL of this
 * process loses no committed write (only a power cut could), which is what a local emulator needs.
 */
const SCHEMA = `
-- key/value of the emulator itself: written once at first start.
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- apps/: written by create, deleted by delete (everything else of the app goes with it).
CREATE TABLE IF NOT EXISTS apps (
  name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, org TEXT NOT NULL, network TEXT NOT NULL,
  numeric_id INTEGER NOT NULL, created_at INTEGER NOT NULL, secrets_version INTEGER NOT NULL DEFAULT 0
) STRICT;
-- apps/: one row per idempotency key ever used; outlives the app, so a late retry cannot make a
-- second one; forgotten after 30 days.
CREATE TABLE IF NOT EXISTS app_idempotency (
  key TEXT PRIMARY KEY, org TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, created_at INTEGER NOT NULL
) STRICT;

-- secrets/: every value with the range of versions it was current in. A machine sees the version it was made with.
CREATE TABLE IF NOT EXISTS secrets (
  app TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, digest TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  from_version INTEGER NOT NULL, until_version INTEGER,
  PRIMARY KEY (app, name, from_version)
) STRICT;

-- tokens/: hashes only. app NULL = organization token. Revoked rows are deleted.
CREATE TABLE IF NOT EXISTS tokens (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, org TEXT NOT NULL, app TEXT,
  created_at INTEGER NOT NULL, expires_at INTEGER
) STRICT;

-- machines/: doc is the whole record (record.ts); the columns beside it are what is searched. Rows outlive the
-- machine until the purge, for include_deleted.
CREATE TABLE IF NOT EXISTS machines (
  id TEXT PRIMARY KEY, app TEXT NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, destroyed_at INTEGER,
  doc TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS machines_app ON machines (app, seq);
-- machines/: bounded per machine by the writer.
CREATE TABLE IF NOT EXISTS machine_events (
  machine TEXT NOT NULL, seq INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (machine, seq)
) STRICT;
CREATE TABLE IF NOT EXISTS machine_versions (
  machine TEXT NOT NULL, version TEXT NOT NULL, seq INTEGER NOT NULL, config TEXT NOT NULL,
  PRIMARY KEY (machine, version)
) STRICT;
-- machines/usage.ts: one row per span of time a machine was started (= billed).
CREATE TABLE IF NOT EXISTS runs (
  machine TEXT NOT NULL, app TEXT NOT NULL, region TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS runs_machine ON runs (machine);

-- volumes/: pending_destroy rows stay 24 h.
CREATE TABLE IF NOT EXISTS volumes (
  id TEXT PRIMARY KEY, app TEXT NOT NULL, seq INTEGER NOT NULL, doc TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS volume_snapshots (
  id TEXT PRIMARY KEY, volume TEXT NOT NULL, seq INTEGER NOT NULL, doc TEXT NOT NULL
) STRICT;

-- registry/: blobs live in files named by digest; a row says which repository may read one.
CREATE TABLE IF NOT EXISTS repository_blobs (
  repository TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, digest)
) STRICT;
CREATE TABLE IF NOT EXISTS manifests (
  repository TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, body BLOB NOT NULL,
  created_at INTEGER NOT NULL, PRIMARY KEY (repository, digest)
) STRICT;
CREATE TABLE IF NOT EXISTS tags (
  repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, tag)
) STRICT;

-- observe/: counters for benches.
CREATE TABLE IF NOT EXISTS calls (
  operation TEXT NOT NULL, app TEXT NOT NULL, status INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (operation, app, status)
) STRICT;
`;

export type Database = DatabaseSync;

export function openDatabase(file: string): Database {
  const database = new DatabaseSync(file);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000;");
  database.exec(SCHEMA);
  return database;
}

/** All of `work`'s writes or none. Work is synchronous, so no other request can run in between. */
export function transaction<T>(database: Database, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}
