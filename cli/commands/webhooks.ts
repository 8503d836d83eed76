import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import { oneOf } from "../input/oneOf.ts";
import type { Io } from "../io.ts";
import { ago } from "../output/time.ts";
import { paged, pageOf } from "./queue.ts";
import { action } from "./session.ts";

const STATES = ["failed", "pending", "delivered"] as const;

/** What consumer apps were to be told by webhook. */
export function addWebhooks(program: Command, io: Io): void {
  const webhooks = program.command("webhooks").description("events for consumer apps, over all companies");

  paged(
    webhooks
      .command("events")
      .description("latest first, without what they say")
      .option("--state <state>", STATES.join(", "), "failed"),
  ).action(
    action(io, async ({ backend, out }, options: { state: string; limit: string; cursor?: string }) => {
      const state = oneOf("--state", options.state, STATES);
      const page = await backend.run("listWebhookEvents", { state, paginationOpts: pageOf(options) });
      const now = io.now();
      out.result(page, () =>
        page.events.length === 0
          ? [`No ${state} events.`]
          : [
              ...out.table(
                [
                  { title: "ID", cell: (row) => row.id },
                  { title: "COMPANY", cell: (row) => row.endpoint?.companyId ?? null },
                  { title: "URL", cell: (row) => row.endpoint?.url ?? "(endpoint deleted)" },
                  { title: "ATTEMPTS", cell: (row) => row.attempts },
                  { title: "ENDED", cell: (row) => ago(row.finishedAt, now) },
                  { title: "LAST ERROR", cell: (row) => row.lastError },
                ],
                page.events,
              ),
              ...(page.cursor === null ? [] : ["", `More: --cursor '${page.cursor}'`]),
            ],
      );
    }),
  );

  webhooks
    .command("retry")
    .description("send a given-up event again, with all its attempts; receivers know it by its id")
    .argument("<id>")
    .action(
      action(io, async ({ backend, out, actor }, id: string) => {
        const retried = await backend.run("retryWebhookEvent", { id: id as Id<"webhookEvents">, actor });
        out.result({ retried }, () => [
          retried ? "It is being sent again." : "Nothing to do: it was not given up.",
        ]);
      }),
    );
}
