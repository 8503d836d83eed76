import { type Database, transaction } from "../store/database.ts";
import { ulid } from "../ids.ts";
import type { MachineConfig } from "./configSchema.ts";
import type { MachineEvent, MachineRecord } from "./record.ts";

/** Events and versions kept per machine: enough to explain it, not enough to grow. */
const EVENTS_KEPT = 100;
const VERSIONS_KEPT = 50;

/** Rows of machines, their events and versions. `seq` is the order of creation, which lists page by. */
export class MachineStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(id: string): MachineRecord | null {
    const row = this.#database.prepare("SELECT doc FROM machines WHERE id = ?").get(id);
    return row === undefined ? null : (JSON.parse(row["doc"] as string) as MachineRecord);
  }

  /** A machine of the app that holds this name: not destroyed, or destroyed after `heldSinceMs`. */
  findByName(app: string, name: string, heldSinceMs: number): MachineRecord | null {
    const row = this.#database
      .prepare(
        "SELECT doc FROM machines WHERE app = ? AND name = ? AND (destroyed_at IS NULL OR destroyed_at > ?)",
      )
      .get(app, name, heldSinceMs);
    return row === undefined ? null : (JSON.parse(row["doc"] as string) as MachineRecord);
  }

  /** Machines with their place in the list, oldest first, after `afterSeq`. */
  page(
    app: string,
    afterSeq: number,
    options: { includeDestroyed: boolean; limit: number },
  ): { seq: number; record: MachineRecord }[] {
    return this.#database
      .prepare(
        `SELECT seq, doc FROM machines WHERE app = ? AND seq > ? AND (destroyed_at IS NULL OR ?)
         ORDER BY seq LIMIT ?`,
      )
      .all(app, afterSeq, options.includeDestroyed ? 1 : 0, options.limit)
      .map((row) => ({
        seq: row["seq"] as number,
        record: JSON.parse(row["doc"] as string) as MachineRecord,
      }));
  }

  /** All machines of an app, destroyed ones included. */
  listOfApp(app: string): MachineRecord[] {
    return this.#database
      .prepare("SELECT doc FROM machines WHERE app = ? ORDER BY seq")
      .all(app)
      .map((row) => JSON.parse(row["doc"] as string) as MachineRecord);
  }

  /** Every machine that is not destroyed, of all apps. */
  live(): MachineRecord[] {
    return this.#database
      .prepare("SELECT doc FROM machines WHERE destroyed_at IS NULL ORDER BY seq")
      .all()
      .map((row) => JSON.parse(row["doc"] as string) as MachineRecord);
  }

  ids(): Set<string> {
    return new Set(
      this.#database
        .prepare("SELECT id FROM machines")
        .all()
        .map((row) => row["id"] as string),
    );
  }

  countLive(app: string): number {
    const row = this.#database
      .prepare("SELECT COUNT(*) AS n FROM machines WHERE app = ? AND destroyed_at IS NULL")
      .get(app);
    return (row?.["n"] as number | undefined) ?? 0;
  }

  insert(record: MachineRecord): void {
    transaction(this.#database, () => {
      this.#database
        .prepare(
          `INSERT INTO machines (id, app, name, seq, destroyed_at, doc)
           VALUES (?, ?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM machines), NULL, ?)`,
        )
        .run(record.id, record.app, record.name, JSON.stringify(record));
      this.addVersion(record);
    });
  }

  save(record: MachineRecord): void {
    this.#database
      .prepare("UPDATE machines SET destroyed_at = ?, doc = ? WHERE id = ?")
      .run(record.destroyedAtMs, JSON.stringify(record), record.id);
  }

  addVersion(record: Pick<MachineRecord, "id" | "instanceId" | "config">): void {
    this.#database
      .prepare(
        `INSERT INTO machine_versions (machine, version, seq, config)
         VALUES (?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM machine_versions WHERE machine = ?), ?)`,
      )
      .run(record.id, record.instanceId, record.id, JSON.stringify(record.config));
    this.#database
      .prepare(
        "DELETE FROM machine_versions WHERE machine = ? AND seq <= (SELECT MAX(seq) FROM machine_versions WHERE machine = ?) - ?",
      )
      .run(record.id, record.id, VERSIONS_KEPT);
  }

  versions(id: string): { version: string; config: MachineConfig }[] {
    return this.#database
      .prepare("SELECT version, config FROM machine_versions WHERE machine = ? ORDER BY seq DESC")
      .all(id)
      .map((row) => ({
        version: row["version"] as string,
        config: JSON.parse(row["config"] as string) as MachineConfig,
      }));
  }

  addEvent(id: string, event: Omit<MachineEvent, "id">): MachineEvent {
    const full: MachineEvent = { id: ulid(event.timestamp), ...event };
    this.#database
      .prepare(
        `INSERT INTO machine_events (machine, seq, doc)
         VALUES (?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM machine_events WHERE machine = ?), ?)`,
      )
      .run(id, id, JSON.stringify(full));
    this.#database
      .prepare(
        "DELETE FROM machine_events WHERE machine = ? AND seq <= (SELECT MAX(seq) FROM machine_events WHERE machine = ?) - ?",
      )
      .run(id, id, EVENTS_KEPT);
    return full;
  }

  /** Newest first, as Fly lists them. */
  events(id: string, limit: number): MachineEvent[] {
    return this.#database
      .prepare("SELECT doc FROM machine_events WHERE machine = ? ORDER BY seq DESC LIMIT ?")
      .all(id, limit)
      .map((row) => JSON.parse(row["doc"] as string) as MachineEvent);
  }

  /** Lowest secrets version any live machine of the app holds; null when none holds one. */
  oldestSecretsVersion(app: string): number | null {
    const versions = this.listOfApp(app)
      .filter((record) => record.destroyedAtMs === null && record.secretsVersion !== null)
      .map((record) => record.secretsVersion ?? 0);
    return versions.length === 0 ? null : Math.min(...versions);
  }

  /** Forgets machines destroyed before this time; returns their ids. */
  purge(destroyedBeforeMs: number): string[] {
    return transaction(this.#database, () => {
      const ids = this.#database
        .prepare("SELECT id FROM machines WHERE destroyed_at IS NOT NULL AND destroyed_at < ?")
        .all(destroyedBeforeMs)
        .map((row) => row["id"] as string);
      for (const id of ids) {
        this.#database.prepare("DELETE FROM machine_events WHERE machine = ?").run(id);
        this.#database.prepare("DELETE FROM machine_versions WHERE machine = ?").run(id);
        this.#database.prepare("DELETE FROM machines WHERE id = ?").run(id);
      }
      return ids;
    });
  }
}
