/** Push jobs: scheduled messages of one person. */
import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import type { Result } from "../backend/client.ts";
import { usageError } from "../errors.ts";
import { type KeyOption, once, withKey } from "../input/idempotencyKey.ts";
import { Problems } from "../input/problems.ts";
import { type PushOptions, readPush, withSchedule, withWords, withZone } from "../input/push.ts";
import { scheduleText } from "../input/pushSchedule.ts";
import type { Io } from "../io.ts";
import { ago, when } from "../output/time.ts";
import { action } from "./session.ts";

interface CreateOptions extends PushOptions, KeyOption {
  template?: string;
  disabled?: boolean;
}

const named = (command: Command): Command =>
  command.argument("<companyId>").argument("<jobId>", "as `push jobs` lists it");

const asId = (jobId: string): Id<"pushJobs"> => jobId as Id<"pushJobs">;

const nextText = ({ nextRunAt }: { nextRunAt: number | null }): string =>
  nextRunAt === null ? "no next time, since it is manual or disabled" : `next ${when(nextRunAt)}`;

/** What it takes from a template it cannot take from an option, too. @throws CliError naming every problem. */
function requestOf(companyId: string, consumerUserId: string, options: CreateOptions) {
  const common = { companyId, consumerUserId, enabled: options.disabled !== true };
  const { template: templateKey } = options;
  if (templateKey === undefined) {
    const job = readPush(options, ["title", "text", "schedule", "timeZone"]);
    return { kind: "custom" as const, args: { ...common, ...job } };
  }
  const problems = new Problems();
  if ((options.title ?? options.text ?? options.textFile) !== undefined) {
    problems.add("--template brings title and text: leave out --title, --text and --text-file.");
  }
  const { schedule, timeZone } = readPush(options, ["timeZone"], problems);
  const own = schedule === undefined ? {} : { schedule };
  return { kind: "fromTemplate" as const, args: { ...common, templateKey, timeZone, ...own } };
}

export function addJobs(push: Command, io: Io): void {
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
            ? [
                `No push jobs. Make one with: npm run factory -- push create-job ${companyId} ${consumerUserId}`,
              ]
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

  const creates = push.command("create-job").argument("<companyId>").argument("<userId>");
  withKey(withZone(withSchedule(withWords(creates))))
    .description("a person's scheduled message: from a template, or with its own title, text and schedule")
    .option("--template <templateKey>", "title, text and, without --schedule, times of this template")
    .option("--disabled", "store it without sending anything")
    .action(
      action(
        io,
        async ({ backend, out, actor }, companyId: string, userId: string, options: CreateOptions) => {
          const { kind, args } = requestOf(companyId, userId, options);
          const created: Result<"createPushJobCustom"> = await once(options, async (idempotencyKey) =>
            kind === "custom"
              ? await backend.run("createPushJobCustom", { ...args, idempotencyKey, actor })
              : await backend.run("createPushJobFromTemplate", { ...args, idempotencyKey, actor }),
          );
          const state = args.enabled ? nextText(created) : "disabled";
          out.result({ ...created, enabled: args.enabled }, () => [
            `Push job ${created.jobId} of ${userId}: ${state}.`,
          ]);
        },
      ),
    );

  withZone(withSchedule(withWords(named(push.command("update-job")))))
    .description("change what is given; the next time is reckoned anew when the times change")
    .action(
      action(io, async ({ backend, out, actor }, companyId: string, jobId: string, options: PushOptions) => {
        const changes = readPush(options, []);
        if (Object.keys(changes).length === 0) {
          throw usageError("Nothing to change: give --title, --text, --text-file, --schedule or --zone.");
        }
        const changed = await backend.run("updatePushJob", {
          companyId,
          jobId: asId(jobId),
          ...changes,
          actor,
        });
        out.result(changed, () => [`Push job ${jobId} is changed: ${nextText(changed)}.`]);
      }),
    );

  for (const enabled of [true, false]) {
    named(push.command(enabled ? "enable-job" : "disable-job"))
      .description(enabled ? "from its next time on" : "send nothing until it is enabled")
      .action(
        action(io, async ({ backend, out, actor }, companyId: string, jobId: string) => {
          const changed = await backend.run("setPushJobEnabled", {
            companyId,
            jobId: asId(jobId),
            enabled,
            actor,
          });
          out.result({ ...changed, enabled }, () => [
            `Push job ${jobId} is ${enabled ? `enabled: ${nextText(changed)}` : "disabled"}.`,
          ]);
        }),
      );
  }

  named(push.command("delete-job"))
    .description("and the list of what it sent")
    .action(
      action(io, async ({ backend, out, actor, confirm }, companyId: string, jobId: string) => {
        await confirm(`Delete push job ${jobId}?`);
        await backend.run("deletePushJob", { companyId, jobId: asId(jobId), actor });
        out.result({ jobId, deleted: true }, () => [`Push job ${jobId} is deleted.`]);
      }),
    );
}
