import type { Command } from "commander";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { when } from "../output/time.ts";
import { action } from "./session.ts";

export function addAudit(program: Command, io: Io): void {
  program
    .command("audit")
    .description("privileged acts, latest first: who, what, on what, with what outcome; never values")
    .option("--action <name>", "only this kind, for example secret.import")
    .option("--limit <n>", "rows, at most 200", "50")
    .option("--cursor <cursor>", "go on where the last page ended")
    .action(
      action(io, async ({ backend, out }, options: { action?: string; limit: string; cursor?: string }) => {
        const page = await backend.run("listAudit", {
          paginationOpts: {
            numItems: parseWhole("--limit", options.limit, 1, 200),
            cursor: options.cursor ?? null,
          },
          ...(options.action === undefined ? {} : { action: options.action }),
        });
        out.result(page, () =>
          page.rows.length === 0
            ? ["No entries."]
            : [
                ...out.table(
                  [
                    { title: "AT", cell: (row) => when(row.at) },
                    { title: "ACTOR", cell: (row) => row.actor },
                    { title: "ACTION", cell: (row) => row.action },
                    { title: "TARGET", cell: (row) => row.target },
                    { title: "OUTCOME", cell: (row) => row.outcome },
                    { title: "DETAIL", cell: (row) => row.detail ?? null },
                  ],
                  page.rows,
                ),
                ...(page.cursor === null ? [] : ["", `More: --cursor '${page.cursor}'`]),
              ],
        );
      }),
    );
}
