import type { Store } from "../service/store.ts";

/** How the model answers certain texts, set from outside. */
export interface Script {
  id: number;
  /** Applies to a last user text that contains this; empty applies to all. */
  match: string;
  /** Directives, as in a message (see directives.ts). */
  script: string;
  /** Turns it still applies to; null means every one. */
  remaining: number | null;
}

export interface Scripts {
  add(script: { match: string; script: string; times: number | null }): number;
  list(): Script[];
  clear(): void;
  /**
   * The directives for a request. The first script that matches is used, and used up by one, at a turn's first
   * request; the requests after its tool results go to the same script without using it up.
   */
  pick(lastUserText: string, isFirstOfTurn: boolean): string | undefined;
}

export function createScripts(store: Store): Scripts {
  return {
    add({ match, script, times }) {
      const row = store.get<{ id: number }>(
        "INSERT INTO scripts (match, script, remaining) VALUES (?, ?, ?) RETURNING id",
        match,
        script,
        times,
      );
      if (!row) throw new Error("the script was not recorded");
      return row.id;
    },
    list: () => store.all<Script>("SELECT id, match, script, remaining FROM scripts ORDER BY id"),
    clear: () => {
      store.run("DELETE FROM scripts");
    },
    pick(lastUserText, isFirstOfTurn) {
      if (!isFirstOfTurn) {
        return store.get<Script>(
          "SELECT script FROM scripts WHERE last_text = ? ORDER BY id LIMIT 1",
          lastUserText,
        )?.script;
      }
      return store.transaction(() => {
        const found = store.get<Script>(
          `SELECT id, script FROM scripts WHERE (remaining IS NULL OR remaining > 0) AND instr(?, match) > 0
           ORDER BY id LIMIT 1`,
          lastUserText,
        );
        if (found) {
          store.run(
            "UPDATE scripts SET remaining = remaining - 1, last_text = ? WHERE id = ?",
            lastUserText,
            found.id,
          );
        }
        return found?.script;
      });
    },
  };
}
