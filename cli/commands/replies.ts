import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import { CliError, exitCodes } from "../errors.ts";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { ago } from "../output/time.ts";
import { action } from "./session.ts";

export function addReplies(program: Command, io: Io): void {
  const replies = program
    .command("replies")
    .description("what was sent to people, and what may not have arrived");

  for (const [state, description] of [
    ["unknown", "parts that may or may not have arrived; they are never sent again by themselves"],
    ["failed", "parts that certainly did not arrive"],
  ] as const) {
    replies
      .command(state)
      .description(description)
      .option("--limit <n>", "rows, at most 200", "50")
      .action(
        action(io, async ({ backend, out }, options: { limit: string }) => {
          const limit = parseWhole("--limit", options.limit, 1, 200);
          const rows = await backend.run("listDeliveries", { state, limit });
          const now = io.now();
          out.result(rows, () =>
            rows.length === 0
              ? [`No ${state} deliveries.`]
              : out.table(
                  [
                    { title: "PART", cell: (row) => row.partId },
                    { title: "CONVERSATION", cell: (row) => row.conversationId },
                    { title: "MESSAGE", cell: (row) => row.messageId },
                    { title: "KIND", cell: (row) => row.reason },
                    { title: "ENDED", cell: (row) => ago(row.finishedAt, now) },
                    { title: "TRIES", cell: (row) => row.attempts, align: "right" },
                    { title: "LAST ERROR", cell: (row) => row.lastError },
                  ],
                  rows,
                ),
          );
        }),
      );
  }

  replies
    .command("resend")
    .description("send a part again; an unknown one may then arrive twice")
    .argument("<partId>")
    .option("--accept-duplicate", "for an unknown part: the person may get it twice")
    .action(
      action(io, async ({ backend, out, actor }, partId: string, options: { acceptDuplicate?: boolean }) => {
        const { resent } = await backend.run("resendDelivery", {
          partId: partId as Id<"outbox">,
          acceptDuplicate: options.acceptDuplicate === true,
          actor,
        });
        out.result({ partId, resent }, () => ["It is sent again, at the end of its conversation's line."]);
        if (!resent) {
          throw new CliError(
            exitCodes.failed,
            "not_resent",
            "The part is neither failed nor unknown: nothing was sent.",
          );
        }
      }),
    );
}
