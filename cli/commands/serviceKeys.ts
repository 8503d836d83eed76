import type { Command } from "commander";
import { API_SCOPES } from "../../runtime/convex/api/tables.ts";
import { parseWhole } from "../input/numbers.ts";
import { oneOf } from "../input/oneOf.ts";
import type { Io } from "../io.ts";
import { parseDuration, when } from "../output/time.ts";
import { action } from "./session.ts";

interface CreateOptions {
  scope: string[];
  agent: string[];
  perMinute?: string;
  ttl?: string;
}

const collect = (value: string, before: string[]): string[] => [...before, value];

export function addServiceKeys(program: Command, io: Io): void {
  const keys = program.command("service-keys").description("keys of consumer apps for /agent-factory/v1");

  keys
    .command("list", { isDefault: true })
    .description("who may do what; never the keys themselves")
    .option("--company <companyId>")
    .action(
      action(io, async ({ backend, out }, options: { company?: string }) => {
        const args = options.company === undefined ? {} : { companyId: options.company };
        const rows = await backend.run("listServiceKeys", args);
        out.result(rows, () =>
          rows.length === 0
            ? ["No service keys."]
            : out.table(
                [
                  { title: "KEY", cell: (row) => row.keyId },
                  { title: "NAME", cell: (row) => row.name },
                  { title: "COMPANY", cell: (row) => row.companyId },
                  { title: "PER MINUTE", cell: (row) => row.requestsPerMinute, align: "right" },
                  { title: "EXPIRES", cell: (row) => when(row.expiresAt) },
                  { title: "REVOKED", cell: (row) => when(row.revokedAt) },
                  { title: "AGENTS", cell: (row) => row.agentKeys?.join(" ") ?? "any" },
                  { title: "SCOPES", cell: (row) => row.scopes.join(" ") },
                ],
                rows,
              ),
        );
      }),
    );

  keys
    .command("create")
    .description("make a key; it is printed now and never again")
    .argument("<companyId>", "whose conversations and people it may reach")
    .argument("<name>", "for people, for example the app's name")
    .option("--scope <scope>", `may be repeated (default: all): ${API_SCOPES.join(", ")}`, collect, [])
    .option(
      "--agent <agentKey>",
      "only this agent, without push, broadcasts and webhooks, which reach people of any; may be repeated",
      collect,
      [],
    )
    .option("--per-minute <n>", "requests a minute")
    .option("--ttl <duration>", "ends after this time, for example 90d")
    .action(
      action(io, async ({ backend, out, actor }, companyId: string, name: string, options: CreateOptions) => {
        const created = await backend.run("createServiceKey", {
          companyId,
          name,
          actor,
          ...(options.scope.length === 0
            ? {}
            : { scopes: options.scope.map((scope) => oneOf("--scope", scope, API_SCOPES)) }),
          ...(options.agent.length === 0 ? {} : { agentKeys: options.agent }),
          ...(options.perMinute === undefined
            ? {}
            : { requestsPerMinute: parseWhole("--per-minute", options.perMinute, 1, 60_000) }),
          ...(options.ttl === undefined ? {} : { expiresAt: io.now() + parseDuration("--ttl", options.ttl) }),
        });
        out.result(created, () => [created.serviceKey]);
        out.note(`Key ${created.keyId} of ${companyId}. Store it now: it is not shown again.`);
      }),
    );

  keys
    .command("rotate")
    .description("a new key under the same id; the former one is accepted for a while")
    .argument("<keyId>")
    .option("--grace <duration>", "how long the former one is accepted", "24h")
    .action(
      action(io, async ({ backend, out, actor }, keyId: string, options: { grace: string }) => {
        const graceMs = parseDuration("--grace", options.grace, ["0s", "30d"]);
        const rotated = await backend.run("rotateServiceKey", { keyId, graceMs, actor });
        out.result(rotated, () => [rotated.serviceKey]);
        out.note(`The former key is accepted until ${when(rotated.previousUntil)}.`);
      }),
    );

  keys
    .command("revoke")
    .description("refuse it from now on")
    .argument("<keyId>")
    .action(
      action(io, async ({ backend, out, actor, confirm }, keyId: string) => {
        await confirm(`Revoke service key ${keyId}?`);
        const outcome = await backend.run("revokeServiceKey", { keyId, actor });
        out.result(outcome, () => [outcome.revoked ? `${keyId} is revoked.` : "It was revoked already."]);
      }),
    );
}
