import type { Database } from "../store/database.ts";

export interface CallCount {
  operation: string;
  app: string;
  status: number;
  count: number;
}

/** Status counted for a request that never got an answer (injected timeout or reset). */
export const NO_ANSWER = 0;

/** How often each operation was called, for benches ("Fly calls for a burst"). Survives a restart. */
export class CallCounts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  add(operation: string, app: string | undefined, status: number): void {
    this.#database
      .prepare(
        `INSERT INTO calls (operation, app, status, count) VALUES (?, ?, ?, 1)
         ON CONFLICT (operation, app, status) DO UPDATE SET count = count + 1`,
      )
      .run(operation, app ?? "", status);
  }

  list(app: string | undefined): CallCount[] {
    const rows =
      app === undefined
        ? this.#database.prepare("SELECT * FROM calls ORDER BY operation, app, status").all()
        : this.#database.prepare("SELECT * FROM calls WHERE app = ? ORDER BY operation, status").all(app);
    return rows.map((row) => ({
      operation: row["operation"] as string,
      app: row["app"] as string,
      status: row["status"] as number,
      count: row["count"] as number,
    }));
  }

  reset(): void {
    this.#database.exec("DELETE FROM calls");
  }
}
