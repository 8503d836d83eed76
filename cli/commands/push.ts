import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import { CliError, exitCodes } from "../errors.ts";
import { type KeyOption, once, withKey } from "../input/idempotencyKey.ts";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { when } from "../output/time.ts";
import { addJobs } from "./pushJobs.ts";
import { addTemplates } from "./pushTemplates.ts";
import { action } from "./session.ts";

/** Each job is a transaction of its own, and there may be a thousand. */
const DISPATCH_TIMEOUT_MS = 5 * 60_000;

export function addPush(program: Command, io: Io): void {
  const push = program.command("push").description("scheduled messages to people");

  addTemplates(push, io);
  addJobs(push, io);

  push
    .command("dispatches")
    .description("what a job sent, latest first")
    .argument("<companyId>")
    .argument("<jobId>")
    .option("--limit <n>", "rows", "20")
    .action(
      action(io, async ({ backend, out }, companyId: string, jobId: string, options: { limit: string }) => {
        const limit = parseWhole("--limit", options.limit, 1, 200);
        const rows = await backend.run("listPushDispatchesByJob", {
          companyId,
          jobId: jobId as Id<"pushJobs">,
          limit,
        });
        out.result(rows, () =>
          rows.length === 0
            ? ["Nothing sent yet."]
            : out.table(
                [
                  { title: "SLOT", cell: (row) => row.slotKey },
                  { title: "SENT", cell: (row) => when(row.dispatchedAt) },
                  { title: "OUTCOME", cell: (row) => row.outcome },
                  { title: "MESSAGE", cell: (row) => row.messageId },
                  { title: "REASON", cell: (row) => row.reason },
                ],
                rows,
              ),
        );
      }),
    );

  withKey(push.command("trigger"))
    .description("send a job's message now, whatever its schedule; exit code 1 when nobody was reached")
    .argument("<companyId>")
    .argument("<jobId>")
    .action(
      action(
        io,
        async ({ backend, out, actor, confirm }, companyId: string, jobId: string, options: KeyOption) => {
          await confirm(`Send push job ${jobId} now?`);
          const sent = await once(
            options,
            async (idempotencyKey) =>
              await backend.run("triggerPushJobNow", {
                companyId,
                jobId: jobId as Id<"pushJobs">,
                idempotencyKey,
                actor,
              }),
          );
          out.result(sent, () => [`${sent.outcome}${sent.reason === null ? "" : `: ${sent.reason}`}`]);
          if (sent.outcome !== "enqueued") {
            throw new CliError(
              exitCodes.failed,
              sent.outcome,
              sent.reason ?? `The push job was ${sent.outcome}.`,
            );
          }
        },
      ),
    );

  push
    .command("dispatch")
    .description("send now what is due, as the timers do by themselves; each slot is sent once")
    .option("--limit <n>", "jobs, at most 1000", "200")
    .action(
      action(io, async ({ backend, out }, options: { limit: string }) => {
        const limit = parseWhole("--limit", options.limit, 1, 1_000);
        const counts = await backend.run(
          "dispatchDuePushJobs",
          { limit },
          { timeoutMs: DISPATCH_TIMEOUT_MS },
        );
        out.result(counts, () => [
          `${counts.scanned} due: ${counts.enqueued} enqueued, ${counts.skipped} skipped, ${counts.failed} failed.`,
        ]);
      }),
    );
}
