import type { Command } from "commander";
import { notFound } from "../errors.ts";
import type { Io } from "../io.ts";
import { when } from "../output/time.ts";
import { action } from "./session.ts";

const person = (
  userId: string,
  company: string | undefined,
): { consumerUserId: string; companyId?: string } => ({
  consumerUserId: userId,
  ...(company === undefined ? {} : { companyId: company }),
});

export function addBindings(program: Command, io: Io): void {
  const bindings = program.command("bindings").description("which agent a person talks to");

  bindings
    .command("list")
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
