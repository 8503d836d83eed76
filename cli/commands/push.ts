import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import type { Result } from "../backend/client.ts";
import { CliError, exitCodes } from "../errors.ts";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { ago, when } from "../output/time.ts";
import { action } from "./session.ts";

type Schedule = Result<"listPushJobsForUser">[number]["schedule"];

const weekdays = ["", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function scheduleText(schedule: Schedule): string {
  switch (schedule.kind) {
    case "manual":
      return "by hand";
    case "daily":
      return `daily ${schedule.time}`;
    case "weekly":
      return `${weekdays[schedule.weekday] ?? schedule.weekday} ${schedule.time}`;
    case "monthly":
      return `${schedule.dayOfMonth === "last" ? "last day" : `day ${schedule.dayOfMonth}`} ${schedule.time}`;
  }
}

export function addPush(program: Command, io: Io): void {
  const push = program.command("push").description("scheduled messages to people");

  push
    .command("templates")
    .description("a company's templates")
    .argument("<companyId>")
    .action(
      action(io, async ({ backend, out }, companyId: string) => {
        const rows = await backend.run("listPushTemplatesByCompany", { companyId });
        out.result(rows, () =>
          rows.length === 0
            ? ["No templates."]
            : out.table(
                [
                  { title: "TEMPLATE", cell: (row) => row.templateKey },
                  { title: "STATE", cell: (row) => (row.enabled ? "enabled" : "disabled") },
                  { title: "SCHEDULE", cell: (row) => scheduleText(row.schedule) },
                  { title: "TITLE", cell: (row) => row.title },
                ],
                rows,
              ),
        );
      }),
    );

  push
    .command("jobs")
    .description("a person's push jobs")
    .argument("<companyId>")
    .argument("<userId>")
    .action(
      action(io, async ({ backend, out }, companyId: string, consumerUserId: string) => {
        const rows = await backend.run("listPushJobsForUser", { companyId, consumerUserId });
        const now = io.now();
        out.result(rows, () =>
          rows.length === 0
            ? ["No push jobs."]
            : out.table(
                [
                  { title: "JOB", cell: (row) => row.jobId },
                  { title: "STATE", cell: (row) => (row.enabled ? "enabled" : "disabled") },
                  { title: "SCHEDULE", cell: (row) => scheduleText(row.schedule) },
                  { title: "ZONE", cell: (row) => row.timeZone },
                  { title: "NEXT", cell: (row) => ago(row.nextRunAt, now) },
                  { title: "LAST", cell: (row) => ago(row.lastRunAt, now) },
                  { title: "TITLE", cell: (row) => row.title },
                ],
                rows,
              ),
        );
      }),
    );

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

  push
    .command("trigger")
    .description("send a job's message now, whatever its schedule; exit code 1 when nobody was reached")
    .argument("<companyId>")
    .argument("<jobId>")
    .action(
      action(io, async ({ backend, out, actor, confirm }, companyId: string, jobId: string) => {
        await confirm(`Send push job ${jobId} now?`);
        const sent = await backend.run("triggerPushJobNow", {
          companyId,
          jobId: jobId as Id<"pushJobs">,
          actor,
        });
        out.result(sent, () => [`${sent.outcome}${sent.reason === null ? "" : `: ${sent.reason}`}`]);
        if (sent.outcome !== "enqueued") {
          throw new CliError(
            exitCodes.failed,
            sent.outcome,
            sent.reason ?? `The push job was ${sent.outcome}.`,
          );
        }
      }),
    );
}
