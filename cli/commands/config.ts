import type { Command } from "commander";
import { notFound } from "../errors.ts";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { when } from "../output/time.ts";
import { action } from "./session.ts";

export function addConfig(program: Command, io: Io): void {
  const config = program
    .command("config")
    .description("the runtime config in force; the stack is its only writer");

  config
    .command("show", { isDefault: true })
    .description("every policy, with defaults filled in")
    .action(
      action(io, async ({ backend, out }) => {
        const current = await backend.run("runtimeConfig", {});
        if (current === null) {
          throw notFound("Runtime config has not been applied yet.", "pulumi up --stack <name>");
        }
        out.result(current, () => [
          `revision ${current.revision}, applied ${when(current.appliedAt)} by ${current.appliedBy}`,
          `owner ${current.owner}`,
          "",
          ...JSON.stringify(current.config, null, 2).split("\n"),
        ]);
      }),
    );

  config
    .command("history")
    .description("who changed what and when, latest first")
    .option("--limit <n>", "revisions, at most 100", "20")
    .action(
      action(io, async ({ backend, out }, options: { limit: string }) => {
        const limit = parseWhole("--limit", options.limit, 1, 100);
        const rows = await backend.run("runtimeConfigHistory", { limit });
        out.result(rows, () =>
          rows.length === 0
            ? ["Nothing applied yet."]
            : out.table(
                [
                  { title: "REVISION", cell: (row) => row.revision, align: "right" },
                  { title: "AT", cell: (row) => when(row.appliedAt) },
                  { title: "BY", cell: (row) => row.appliedBy },
                  { title: "CHANGED", cell: (row) => row.changed.join(", ") },
                ],
                rows,
              ),
        );
      }),
    );
}
