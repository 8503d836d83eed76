import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { UsageError } from "./process.ts";

/** A thin, typed view of one SQLite file. Statements are prepared once. */
export interface Store {
  // The row's type is the caller's word: it names the columns that its own SQL selects.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see above
  get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined;
  all<Row>(sql: string, ...values: SQLInputValue[]): Row[];
  /** Returns the number of changed rows. */
  run(sql: string, ...values: SQLInputValue[]): number;
  /** Runs `work` atomically; nested calls join the outer transaction. */
  transaction<Result>(work: () => Result): Result;
  close(): void;
}

/** WAL survives SIGKILL of this process; the exclusive lock makes a second server on one folder fail at once. */
const PRAGMAS = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";

/**
 * Opens (or creates) a service's database.
 *
 * @param folder created when missing, readable by its owner only: it holds what people wrote.
 * @param schema statements that may run at every start (`IF NOT EXISTS`).
 * @throws {UsageError} when another process holds the same file.
 */
export function openStore(folder: string, fileName: string, schema: string): Store {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(join(folder, fileName));
  try {
    database.exec(PRAGMAS + schema);
  } catch (error) {
    database.close();
    if (String(error).includes("database is locked")) {
      throw new UsageError(
        `Another server is using ${folder}. Stop it, or choose another folder with --state <dir>.`,
      );
    }
    throw error;
  }
  const prepared = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    let statement = prepared.get(sql);
    if (!statement) {
      statement = database.prepare(sql);
      prepared.set(sql, statement);
    }
    return statement;
  };
  let depth = 0;

  return {
    // The casts are the database's edge: each caller names the columns that its own SQL selects.
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see Store
    get: <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).get(...values) as Row | undefined,
    all: <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).all(...values) as Row[],
    run: (sql, ...values) => Number(prepare(sql).run(...values).changes),
    transaction(work) {
      if (depth > 0) return work();
      depth++;
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      } finally {
        depth--;
      }
    },
    close: () => database.close(),
  };
}
