import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import { type KeyOption, once, withKey } from "../input/idempotencyKey.ts";
import { type PushOptions, readPush, withWords } from "../input/push.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

/** One action walks through targets for four minutes before it hands over to the next. */
const SEND_TIMEOUT_MS = 5 * 60_000;

export function addBroadcast(program: Command, io: Io): void {
  const broadcast = program.command("broadcast").description("one message to everybody of a company");

  withKey(withWords(broadcast.command("send").argument("<companyId>")))
    .description("into each person's own conversation, as fast as Telegram's limits allow")
    .action(
      action(
        io,
        async ({ backend, out, actor, confirm }, companyId: string, options: PushOptions & KeyOption) => {
          const { title, text } = readPush(options, ["title", "text"]);
          await confirm(`Send '${title}' to everybody of company ${companyId}?`);
          const report = await once(
            options,
            async (idempotencyKey) =>
              await backend.run(
                "sendBroadcastToAllActiveAgents",
                { companyId, title, text, requestedBy: actor, idempotencyKey },
                { timeoutMs: SEND_TIMEOUT_MS },
              ),
          );
          out.result(report, () => [
            ...(report.totalTargets === 0
              ? [`Nobody of company ${companyId} has an active binding: npm run factory -- bindings list`]
              : []),
            `Broadcast ${report.broadcastId}: ${report.enqueued} of ${report.totalTargets} enqueued, ${report.failed} failed.`,
            `Who got it: npm run factory -- broadcast report ${companyId} ${report.broadcastId}`,
          ]);
        },
      ),
    );

  broadcast
    .command("resume")
    .description("go on at once with one that was interrupted; by itself it does within two minutes")
    .argument("<broadcastId>")
    .action(
      action(io, async ({ backend, out }, broadcastId: string) => {
        const counts = await backend.run(
          "resumeBroadcast",
          { broadcastId: broadcastId as Id<"broadcasts"> },
          { timeoutMs: SEND_TIMEOUT_MS },
        );
        out.result(counts, () => [
          `${counts.enqueued} of ${counts.totalTargets} enqueued, ${counts.failed} failed.`,
        ]);
      }),
    );

  broadcast
    .command("report")
    .description("who got it and who did not, page by page")
    .argument("<companyId>")
    .argument("<broadcastId>")
    .option("--cursor <cursor>", "go on where the last page ended")
    .action(
      action(
        io,
        async ({ backend, out }, companyId: string, broadcastId: string, options: { cursor?: string }) => {
          const report = await backend.run("broadcastReport", {
            companyId,
            broadcastId: broadcastId as Id<"broadcasts">,
            cursor: options.cursor ?? null,
          });
          out.result(report, () => [
            `${report.state}: ${report.enqueued} of ${report.totalTargets} enqueued, ${report.failed} failed`,
            "",
            ...out.table(
              [
                { title: "PERSON", cell: (row) => row.consumerUserId },
                { title: "OUTCOME", cell: (row) => row.outcome },
                { title: "MESSAGE", cell: (row) => row.messageId },
                { title: "REASON", cell: (row) => row.reason },
              ],
              report.targets,
            ),
            ...(report.cursor === null ? [] : ["", `More: --cursor '${report.cursor}'`]),
          ]);
        },
      ),
    );
}
