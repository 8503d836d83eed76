/** Push templates: texts and slots of a company, to make jobs from. */
import type { Command } from "commander";
import { usageError } from "../errors.ts";
import { type KeyOption, once, withKey } from "../input/idempotencyKey.ts";
import { type PushOptions, readPush, withSchedule, withWords } from "../input/push.ts";
import { scheduleText } from "../input/pushSchedule.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

const named = (command: Command): Command =>
  command.argument("<companyId>").argument("<templateKey>", "unique in the company, for example morning");

export function addTemplates(push: Command, io: Io): void {
  push
    .command("templates")
    .description("a company's templates")
    .argument("<companyId>")
    .action(
      action(io, async ({ backend, out }, companyId: string) => {
        const rows = await backend.run("listPushTemplatesByCompany", { companyId });
        out.result(rows, () =>
          rows.length === 0
            ? [
                `No templates. Make one with: npm run factory -- push create-template ${companyId} <templateKey>`,
              ]
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

  withKey(withSchedule(withWords(named(push.command("create-template")))))
    .description("a text and its times, to make push jobs from")
    .option("--disabled", "store it without letting jobs be made from it")
    .action(
      action(
        io,
        async (
          { backend, out, actor },
          companyId: string,
          templateKey: string,
          options: PushOptions & KeyOption & { disabled?: boolean },
        ) => {
          const template = readPush(options, ["title", "text", "schedule"]);
          const enabled = options.disabled !== true;
          const args = { companyId, templateKey, ...template, enabled, actor };
          const created = await once(
            options,
            async (idempotencyKey) => await backend.run("createPushTemplate", { ...args, idempotencyKey }),
          );
          out.result({ ...created, templateKey, enabled }, () => [
            `Template ${templateKey} of ${companyId} is made: ${scheduleText(template.schedule)}.`,
            `A person's job from it: npm run factory -- push create-job ${companyId} <userId> --template ${templateKey} --zone <zone>`,
          ]);
        },
      ),
    );

  withSchedule(withWords(named(push.command("update-template"))))
    .description("change what is given; jobs made from it stay as they are")
    .action(
      action(
        io,
        async ({ backend, out, actor }, companyId: string, templateKey: string, options: PushOptions) => {
          const changes = readPush(options, []);
          const changed = Object.keys(changes);
          if (changed.length === 0) {
            throw usageError("Nothing to change: give --title, --text, --text-file or --schedule.");
          }
          await backend.run("updatePushTemplate", { companyId, templateKey, ...changes, actor });
          out.result({ templateKey, changed }, () => [
            `Template ${templateKey} of ${companyId} has a new ${changed.join(", ")}.`,
          ]);
        },
      ),
    );

  for (const enabled of [true, false]) {
    named(push.command(enabled ? "enable-template" : "disable-template"))
      .description(
        enabled
          ? "let jobs be made from it again"
          : "let no more jobs be made from it; those there are go on",
      )
      .action(
        action(io, async ({ backend, out, actor }, companyId: string, templateKey: string) => {
          await backend.run("updatePushTemplate", { companyId, templateKey, enabled, actor });
          out.result({ templateKey, enabled }, () => [
            `Template ${templateKey} of ${companyId} is ${enabled ? "enabled" : "disabled"}.`,
          ]);
        }),
      );
  }

  named(push.command("delete-template"))
    .description("jobs made from it go on")
    .action(
      action(io, async ({ backend, out, actor, confirm }, companyId: string, templateKey: string) => {
        await confirm(`Delete template ${templateKey} of ${companyId}?`);
        await backend.run("deletePushTemplate", { companyId, templateKey, actor });
        out.result({ templateKey, deleted: true }, () => [`Template ${templateKey} is deleted.`]);
      }),
    );
}
