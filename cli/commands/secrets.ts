import type { Command } from "commander";
import type { Backend, Result } from "../backend/client.ts";
import { CliError, exitCodes, notFound } from "../errors.ts";
import { readSecretValue } from "../input/secretValue.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

/** Calls after which a removal that is never finished is given up; each takes 200 versions. */
const REMOVE_CALLS_MAX = 20;

export function addSecrets(program: Command, io: Io): void {
  const secrets = program
    .command("secrets")
    .description("the backend's secret store; values are never shown");

  secrets
    .command("status")
    .description("which refs have an active version; by default those that the environment needs")
    .argument("[refs...]")
    .action(
      action(io, async ({ backend, out }, refs: string[]) => {
        const secretRefs = refs.length > 0 ? refs : await expectedRefs(backend);
        const rows = await backend.run("secretStatus", { secretRefs });
        out.result(rows, () =>
          out.table<Result<"secretStatus">[number]>(
            [
              { title: "SECRET", cell: (row) => row.secretRef },
              { title: "ACTIVE", cell: (row) => (row.hasActive ? "yes" : "no") },
              { title: "VERSION", cell: (row) => row.version, align: "right" },
            ],
            rows,
          ),
        );
      }),
    );

  secrets
    .command("set")
    .description("import a new version; the value comes from stdin, or is asked for unseen")
    .argument("<ref>", "for example telegram.botToken.support")
    .action(
      action(io, async ({ backend, out, actor }, secretRef: string) => {
        const plaintextValue = await readSecretValue(`Value of ${secretRef}`, io);
        const { version } = await backend.run("importSecret", { secretRef, plaintextValue, actor });
        out.result({ secretRef, version }, () => [`${secretRef} is at version ${version}.`]);
      }),
    );

  secrets
    .command("remove")
    .description("no version of the ref can be read afterwards")
    .argument("<ref>")
    .action(
      action(io, async ({ backend, out, actor, confirm }, secretRef: string) => {
        await confirm(`Remove every version of ${secretRef}? This cannot be undone.`);
        let removed = 0;
        for (let calls = 0; calls < REMOVE_CALLS_MAX; calls += 1) {
          const step = await backend.run("removeSecret", { secretRef, actor });
          removed += step.removed;
          if (!step.more) {
            if (removed === 0) {
              throw notFound(`There is no secret '${secretRef}'.`, "npm run factory -- secrets status");
            }
            out.result({ secretRef, removed }, () => [`${removed} version(s) of ${secretRef} removed.`]);
            return;
          }
        }
        throw new CliError(
          exitCodes.failed,
          "unfinished",
          `${secretRef} has more versions than ${REMOVE_CALLS_MAX} calls could remove.`,
          "Repeat the command.",
        );
      }),
    );

  secrets
    .command("rewrap")
    .description("bring every secret to the active key of the ring, after a rotation")
    .action(
      action(io, async ({ backend, out, actor }) => {
        const step = await backend.run("rewrapSecrets", { actor });
        out.result(step, () => [
          `${step.rewrapped} re-wrapped, ${step.failed} failed.${step.more ? " The rest follows by itself: see audit --action secret.rewrap" : ""}`,
        ]);
        if (step.failed > 0) {
          throw new CliError(
            exitCodes.failed,
            "rewrap_failed",
            `${step.failed} secret(s) could not be re-wrapped: their key is not in the ring.`,
            "Restore the key, or set these secrets again, before the old key is dropped.",
          );
        }
      }),
    );
}

/** What every environment needs, and the bots of its agents. */
async function expectedRefs(backend: Backend): Promise<string[]> {
  const agents = await backend.run("listAgents", {});
  return [
    ...new Set([
      "convex.url",
      "fly.apiToken",
      "telegram.botToken.default",
      ...agents.map(({ agentKey }) => `telegram.botToken.${agentKey}`),
    ]),
  ];
}
