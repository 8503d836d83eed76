import { createHmac } from "node:crypto";
import { type Database, transaction } from "../store/database.ts";

export interface Secret {
  name: string;
  value: string;
  digest: string;
  createdAtMs: number;
  updatedAtMs: number;
}

function toSecret(row: Record<string, unknown>): Secret {
  return {
    name: row["name"] as string,
    value: row["value"] as string,
    digest: row["digest"] as string,
    createdAtMs: row["created_at"] as number,
    updatedAtMs: row["updated_at"] as number,
  };
}

/**
 * An app's secrets, versioned: every write raises the app's version by one, and a machine keeps the version it was
 * created or updated with (Fly's pages disagree on start; the stricter reading shows a client that forgot to update).
 */
export class SecretStore {
  readonly #database: Database;
  readonly #digestKey: string;

  constructor(database: Database, digestKey: string) {
    this.#database = database;
    this.#digestKey = digestKey;
  }

  /** Same value, same digest, so drift can be seen; keyed, so a digest does not give a short value away. */
  digest(value: string): string {
    return createHmac("sha256", this.#digestKey).update(value).digest("hex").slice(0, 16);
  }

  list(app: string): Secret[] {
    return this.#database
      .prepare("SELECT * FROM secrets WHERE app = ? AND until_version IS NULL ORDER BY name")
      .all(app)
      .map(toSecret);
  }

  find(app: string, name: string): Secret | null {
    const row = this.#database
      .prepare("SELECT * FROM secrets WHERE app = ? AND name = ? AND until_version IS NULL")
      .get(app, name);
    return row === undefined ? null : toSecret(row);
  }

  /** Names and values as of a version: what a machine made with that version gets in its environment. */
  valuesAt(app: string, version: number): Record<string, string> {
    const rows = this.#database
      .prepare(
        `SELECT * FROM secrets WHERE app = ? AND from_version <= ? AND (until_version IS NULL OR until_version > ?)
         ORDER BY name`,
      )
      .all(app, version, version)
      .map(toSecret);
    return Object.fromEntries(rows.map((secret) => [secret.name, secret.value]));
  }

  version(app: string): number {
    const row = this.#database.prepare("SELECT secrets_version FROM apps WHERE name = ?").get(app);
    return (row?.["secrets_version"] as number | undefined) ?? 0;
  }

  /** Sets values and removes nulls in one step; returns the new version. Removing a missing name is no error. */
  update(app: string, values: Record<string, string | null>, nowMs: number): number {
    return transaction(this.#database, () => {
      const version = this.version(app) + 1;
      for (const [name, value] of Object.entries(values)) {
        const previous = this.find(app, name);
        this.#database
          .prepare(
            "UPDATE secrets SET until_version = ? WHERE app = ? AND name = ? AND until_version IS NULL",
          )
          .run(version, app, name);
        if (value === null) continue;
        this.#database
          .prepare(
            `INSERT INTO secrets (app, name, value, digest, created_at, updated_at, from_version, until_version)
             VALUES (?, ?, ?, ?, ?, ?, ?, NULL)`,
          )
          .run(app, name, value, this.digest(value), previous?.createdAtMs ?? nowMs, nowMs, version);
      }
      this.#database.prepare("UPDATE apps SET secrets_version = ? WHERE name = ?").run(version, app);
      return version;
    });
  }

  /** Drops old values that no machine can ask for any more: `oldestInUse` is the lowest version a machine holds. */
  forgetBefore(app: string, oldestInUse: number): void {
    this.#database
      .prepare("DELETE FROM secrets WHERE app = ? AND until_version IS NOT NULL AND until_version <= ?")
      .run(app, oldestInUse);
  }
}
