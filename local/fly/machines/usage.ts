import type { Database } from "../store/database.ts";

export interface MachineUsage {
  machine: string;
  app: string;
  region: string;
  runs: number;
  /** Seconds in state started, a run still open counted up to now. */
  seconds: number;
}

/** Started time per machine: what Fly bills by the second. Suspended and stopped time is not in it. */
export class UsageBook {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  open(machine: string, app: string, region: string, nowMs: number): void {
    this.close(machine, nowMs);
    this.#database
      .prepare("INSERT INTO runs (machine, app, region, started_at, ended_at) VALUES (?, ?, ?, ?, NULL)")
      .run(machine, app, region, nowMs);
  }

  /** Ends the open run, if there is one. */
  close(machine: string, endedAtMs: number): void {
    this.#database
      .prepare("UPDATE runs SET ended_at = MAX(started_at, ?) WHERE machine = ? AND ended_at IS NULL")
      .run(endedAtMs, machine);
  }

  /** Usage since a time, per machine, of one app or all. */
  list(app: string | undefined, sinceMs: number, nowMs: number): MachineUsage[] {
    return this.#database
      .prepare(
        `SELECT machine, app, region, COUNT(*) AS runs,
                SUM(MAX(0, COALESCE(ended_at, ?) - MAX(started_at, ?))) AS ms
         FROM runs WHERE (? IS NULL OR app = ?) AND COALESCE(ended_at, ?) >= ?
         GROUP BY machine, app, region ORDER BY MIN(started_at)`,
      )
      .all(nowMs, sinceMs, app ?? null, app ?? null, nowMs, sinceMs)
      .map((row) => ({
        machine: row["machine"] as string,
        app: row["app"] as string,
        region: row["region"] as string,
        runs: row["runs"] as number,
        seconds: (row["ms"] as number) / 1_000,
      }));
  }

  /** Forgets runs that ended before this time. */
  purge(endedBeforeMs: number): void {
    this.#database.prepare("DELETE FROM runs WHERE ended_at < ?").run(endedBeforeMs);
  }
}
