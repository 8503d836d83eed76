import type { Command } from "commander";
import type { Result } from "../backend/client.ts";
import { notFound, usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { parseWhole } from "../input/numbers.ts";
import { when } from "../output/time.ts";
import { action } from "./session.ts";

type Row = Result<"listBindings">["bindings"][number];

interface ListOptions {
  company?: string;
  agent?: string;
  revoked?: boolean;
  limit: string;
  cursor?: string;
}

const person = (
  userId: string,
  company: string | undefined,
): { consumerUserId: string; companyId?: string } => ({
  consumerUserId: userId,
  ...(company === undefined ? {} : { companyId: company }),
});

/** Whose bindings; null: everybody's. @throws CliError for a company and an agent together. */
function chosen({ company, agent }: ListOptions): { companyId: string } | { agentKey: string } | null {
  if (company !== undefined && agent !== undefined) {
    throw usageError(
      "--company and --agent cannot be given together: list one and look in it for the other.",
    );
  }
  if (company !== undefined) return { companyId: company };
  return agent === undefined ? null : { agentKey: agent };
}

export function addBindings(program: Command, io: Io): void {
  const bindings = program.command("bindings").description("which agent a person talks to");

  bindings
    .command("list")
    .description("everybody's active bindings, latest first")
    .option("--company <companyId>", "only this company's people")
    .option("--agent <agentKey>", "only who talks to this agent")
    .option("--revoked", "the former ones instead")
    .option("--limit <n>", "rows, at most 200", "50")
    .option("--cursor <cursor>", "go on where the last page ended")
    .action(
      action(io, async ({ backend, out }, options: ListOptions) => {
        const of = chosen(options);
        const page = await backend.run("listBindings", {
          status: options.revoked === true ? "revoked" : "active",
          paginationOpts: {
            numItems: parseWhole("--limit", options.limit, 1, 200),
            cursor: options.cursor ?? null,
          },
          ...(of === null ? {} : { of }),
        });
        out.result(page, () => [
          ...(page.bindings.length === 0
            ? ["Nobody here. Bind a person with: npm run factory -- pairing create <userId>"]
            : out.table(
                [
                  { title: "USER", cell: (row) => row.consumerUserId },
                  { title: "COMPANY", cell: (row) => row.companyId },
                  { title: "AGENT", cell: (row) => row.agentKey },
                  { title: "SOURCE", cell: (row) => row.source },
                  { title: "TELEGRAM USER", cell: (row) => row.telegramUserId },
                  { title: "BOUND", cell: (row) => when(row.boundAt) },
                  ...(options.revoked === true
                    ? [
                        { title: "REVOKED", cell: (row: Row) => when(row.revokedAt) },
                        { title: "BECAUSE", cell: (row: Row) => row.revokedBecause },
                      ]
                    : []),
                ],
                page.bindings,
              )),
          ...(page.cursor === null ? [] : ["", `More: --cursor '${page.cursor}'`]),
        ]);
      }),
    );

  bindings
    .command("show")
    .description("a person's binding and the former ones")
    .argument("<userId>", "the person's id in your own application")
    .option("--company <companyId>")
    .action(
      action(io, async ({ backend, out }, userId: string, options: { company?: string }) => {
        const found = await backend.run("getUserAgentBinding", person(userId, options.company));
        if (found.active === null && found.history.length === 0) {
          throw notFound(
            `No binding of '${userId}'${options.company === undefined ? "" : ` in company '${options.company}'`}.`,
            `npm run factory -- pairing create ${userId}`,
          );
        }
        const rows = [...(found.active === null ? [] : [found.active]), ...found.history];
        out.result(found, () =>
          out.table(
            [
              { title: "STATUS", cell: (row) => row.status },
              { title: "AGENT", cell: (row) => row.agentKey },
              { title: "SOURCE", cell: (row) => row.source },
              { title: "TELEGRAM USER", cell: (row) => row.telegramUserId },
              { title: "CHAT", cell: (row) => row.telegramChatId },
              { title: "BOUND", cell: (row) => when(row.boundAt) },
              { title: "REVOKED", cell: (row) => when(row.revokedAt) },
              { title: "BECAUSE", cell: (row) => row.revokedBecause },
            ],
            rows,
          ),
        );
      }),
    );

  bindings
    .command("bind")
    .description("bind a person to an agent; what was active for the person, or the Telegram user, ends")
    .argument("<userId>", "the person's id in your own application")
    .argument("<agentKey>")
    .option("--company <companyId>")
    .option(
      "--telegram-user <id>",
      "their Telegram user id, when they cannot pair (default: the one they paired)",
    )
    .action(
      action(
        io,
        async (
          { backend, out, actor, confirm },
          userId: string,
          agentKey: string,
          options: { company?: string; telegramUser?: string },
        ) => {
          const { telegramUser } = options;
          if (telegramUser !== undefined && !/^[1-9]\d{0,15}$/.test(telegramUser)) {
            throw usageError(`--telegram-user must be a person's numeric id, got '${telegramUser}'.`);
          }
          await confirm(`Bind ${userId} to agent ${agentKey}?`);
          const outcome = await backend.run("bindUserAgent", {
            ...person(userId, options.company),
            agentKey,
            actor,
            // A private chat has the id of its person.
            ...(telegramUser === undefined
              ? {}
              : { telegramUserId: telegramUser, telegramChatId: telegramUser }),
          });
          out.result(outcome, () => [`${userId} talks to agent ${agentKey}.`]);
        },
      ),
    );

  bindings
    .command("revoke")
    .description("close a person's binding; the history stays")
    .argument("<userId>")
    .option("--company <companyId>")
    .action(
      action(io, async ({ backend, out, actor, confirm }, userId: string, options: { company?: string }) => {
        await confirm(`Revoke the binding of ${userId}?`);
        const outcome = await backend.run("revokeUserAgentBinding", {
          ...person(userId, options.company),
          actor,
        });
        if (outcome.revoked === 0) throw notFound(`'${userId}' has no active binding.`);
        out.result(outcome, () => [`${outcome.revoked} revoked.`]);
      }),
    );
}
