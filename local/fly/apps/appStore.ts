import { conflict, unprocessable } from "../errors.ts";
import { appId } from "../ids.ts";
import { type Database, transaction } from "../store/database.ts";

export interface App {
  id: string;
  name: string;
  org: string;
  network: string;
  numericId: number;
  createdAtMs: number;
  secretsVersion: number;
}

export interface NewApp {
  name: string | undefined;
  org: string;
  network: string;
  idempotencyKey: string | undefined;
}

// node:sqlite gives untyped rows; the table's own STRICT types make this cast the one safe edge.
function toApp(row: Record<string, unknown>): App {
  return {
    id: row["id"] as string,
    name: row["name"] as string,
    org: row["org"] as string,
    network: row["network"] as string,
    numericId: row["numeric_id"] as number,
    createdAtMs: row["created_at"] as number,
    secretsVersion: row["secrets_version"] as number,
  };
}

/** App names are one namespace over all organizations, as on Fly. */
export class AppStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(name: string): App | null {
    const row = this.#database.prepare("SELECT * FROM apps WHERE name = ?").get(name);
    return row === undefined ? null : toApp(row);
  }

  findById(id: string): App | null {
    const row = this.#database.prepare("SELECT * FROM apps WHERE id = ?").get(id);
    return row === undefined ? null : toApp(row);
  }

  list(org: string): App[] {
    return this.#database
      .prepare("SELECT * FROM apps WHERE org = ? ORDER BY created_at, name")
      .all(org)
      .map(toApp);
  }

  all(): App[] {
    return this.#database.prepare("SELECT * FROM apps ORDER BY name").all().map(toApp);
  }

  /**
   * Creates the app, or returns the one an earlier call with the same idempotency key made. A key that was used for
   * another name is refused; so is a name that exists (422 name_taken).
   */
  create(input: NewApp, nowMs: number): { id: string; createdAtMs: number } {
    return transaction(this.#database, () => {
      const key = input.idempotencyKey;
      if (key !== undefined) {
        const row = this.#database
          .prepare("SELECT * FROM app_idempotency WHERE key = ? AND org = ?")
          .get(key, input.org);
        if (row !== undefined) {
          if (input.name !== undefined && input.name !== row["name"]) {
            throw conflict("idempotency_key was already used to create an app with another name");
          }
          return { id: row["id"] as string, createdAtMs: row["created_at"] as number };
        }
      }
      const id = appId();
      const name = input.name ?? `app-${id}`;
      if (this.find(name) !== null) throw unprocessable("Name has already been taken", "name_taken");
      this.#database
        .prepare(
          `INSERT INTO apps (name, id, org, network, numeric_id, created_at)
           VALUES (?, ?, ?, ?, (SELECT COALESCE(MAX(numeric_id), 1000) + 1 FROM apps), ?)`,
        )
        .run(name, id, input.org, input.network, nowMs);
      if (key !== undefined) {
        this.#database
          .prepare("INSERT INTO app_idempotency (key, org, name, id, created_at) VALUES (?, ?, ?, ?, ?)")
          .run(key, input.org, name, id, nowMs);
      }
      return { id, createdAtMs: nowMs };
    });
  }

  /** Forgets the app and every row that belongs to it. Its machines' processes must be gone before. */
  delete(name: string): void {
    transaction(this.#database, () => {
      const machines = "SELECT id FROM machines WHERE app = ?";
      const volumes = "SELECT id FROM volumes WHERE app = ?";
      for (const statement of [
        `DELETE FROM machine_events WHERE machine IN (${machines})`,
        `DELETE FROM machine_versions WHERE machine IN (${machines})`,
        "DELETE FROM machines WHERE app = ?",
        `DELETE FROM volume_snapshots WHERE volume IN (${volumes})`,
        "DELETE FROM volumes WHERE app = ?",
        "DELETE FROM secrets WHERE app = ?",
        "DELETE FROM tokens WHERE app = ?",
        "DELETE FROM repository_blobs WHERE repository = ?",
        "DELETE FROM manifests WHERE repository = ?",
        "DELETE FROM tags WHERE repository = ?",
        "DELETE FROM apps WHERE name = ?",
      ]) {
        this.#database.prepare(statement).run(name);
      }
    });
  }

  /** Forgets idempotency keys used before this time. */
  purgeKeys(createdBeforeMs: number): void {
    this.#database.prepare("DELETE FROM app_idempotency WHERE created_at < ?").run(createdBeforeMs);
  }
}
