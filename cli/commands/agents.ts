import type { Command } from "commander";
import * as z from "zod";
import type { Args } from "../backend/client.ts";
import { usageError } from "../errors.ts";
import { readJsonOption, readTextFile } from "../input/textFile.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

interface ConfigureOptions {
  soul?: string;
  client?: string;
  label?: string;
  skill: string[];
  secretRef: string[];
  allowTool: string[];
  bridge?: string;
  bridgeFunctions?: string;
  providerUserId?: string;
  disabled?: boolean;
}

const bridgeSchema = z.strictObject({
  enabled: z.boolean(),
  baseUrl: z.string().optional(),
  serviceId: z.string().optional(),
  appKey: z.string().optional(),
  serviceKeySecretRef: z.string().optional(),
  appBaseUrlMapJsonSecretRef: z.string().optional(),
});
const bridgeFunctionsSchema = z.array(
  z.strictObject({ key: z.string(), description: z.string(), parameters: z.record(z.string(), z.unknown()) }),
);

const collect = (value: string, before: string[]): string[] => [...before, value];

/** A JSON file that an option names, in its own shape. @throws CliError listing every problem. */
function readShaped<T>(flag: string, file: string, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(readJsonOption(flag, file));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(
    (issue) => `  ${issue.path.join(".") || "file"}: ${issue.message}`,
  );
  throw usageError(`${flag}: ${file} is not usable:\n${problems.join("\n")}`);
}

function profileOf(agentKey: string, options: ConfigureOptions, label: string): Args<"configureAgent"> {
  if (options.soul === undefined) throw usageError("--soul <file> is missing: who the agent is.");
  return {
    agentKey,
    version: options.label ?? label,
    soulMd: readTextFile("--soul", options.soul),
    ...(options.client === undefined ? {} : { clientMd: readTextFile("--client", options.client) }),
    skills: options.skill,
    secretsRef: options.secretRef.length > 0 ? options.secretRef : [`telegram.botToken.${agentKey}`],
    ...(options.allowTool.length === 0 ? {} : { toolPolicy: { allow: options.allowTool } }),
    ...(options.bridge === undefined
      ? {}
      : { bridgeConfig: readShaped("--bridge", options.bridge, bridgeSchema) }),
    ...(options.bridgeFunctions === undefined
      ? {}
      : {
          bridgeFunctions: readShaped(
            "--bridge-functions",
            options.bridgeFunctions,
            bridgeFunctionsSchema,
          ).map(({ key, description, parameters }) => ({
            key,
            description,
            parametersJson: JSON.stringify(parameters),
          })),
        }),
    ...(options.providerUserId === undefined ? {} : { providerUserId: options.providerUserId }),
    enabled: options.disabled !== true,
  };
}

export function addAgents(program: Command, io: Io): void {
  const agents = program.command("agents").description("agent profiles");

  agents
    .command("list", { isDefault: true })
    .description("keys and state")
    .action(
      action(io, async ({ backend, out }) => {
        const rows = await backend.run("listAgents", {});
        out.result(rows, () =>
          rows.length === 0
            ? ["No agents. Make one with: npm run factory -- agents configure <agentKey> --soul <file>"]
            : out.table(
                [
                  { title: "AGENT", cell: (row) => row.agentKey },
                  { title: "STATE", cell: (row) => (row.enabled ? "enabled" : "disabled") },
                  { title: "LABEL", cell: (row) => row.version },
                  { title: "REVISION", cell: (row) => row.revision, align: "right" },
                ],
                rows,
              ),
        );
      }),
    );

  agents
    .command("configure")
    .description("create the profile, or replace it as a whole (a stack's own agents belong in its config)")
    .argument("<agentKey>")
    .option("--soul <file>", "Markdown: who the agent is")
    .option("--client <file>", "Markdown: whom it works for")
    .option("--label <text>", "your own version label (default: today's date)")
    .option("--skill <name>", "a skill of the worker image; may be repeated", collect, [])
    .option(
      "--secret-ref <ref>",
      "a secret it may use; may be repeated (default: its bot's token)",
      collect,
      [],
    )
    .option("--allow-tool <name>", "a tool beyond the safe set; may be repeated", collect, [])
    .option("--bridge <file>", "JSON: {enabled, baseUrl?, serviceId?, appKey?, …}")
    .option("--bridge-functions <file>", "JSON: [{key, description, parameters}]")
    .option("--provider-user-id <id>")
    .option("--disabled", "store it without letting it answer")
    .action(
      action(io, async ({ backend, out, actor }, agentKey: string, options: ConfigureOptions) => {
        const today = new Date(io.now()).toISOString().slice(0, 10);
        const profile = profileOf(agentKey, options, today);
        await backend.run("configureAgent", { ...profile, actor });
        out.result({ agentKey, version: profile.version, enabled: profile.enabled }, () => [
          `Agent ${agentKey} is configured (${profile.version}, ${profile.enabled ? "enabled" : "disabled"}).`,
        ]);
      }),
    );

  for (const enabled of [false, true]) {
    agents
      .command(enabled ? "enable" : "disable")
      .description(
        enabled ? "let it answer again" : "refuse new messages for it; what waits is still answered",
      )
      .argument("<agentKey>")
      .action(
        action(io, async ({ backend, out, actor }, agentKey: string) => {
          const { changed } = await backend.run("setAgentEnabled", { agentKey, enabled, actor });
          out.result({ agentKey, enabled, changed }, () => [
            changed ? `Agent ${agentKey} is ${enabled ? "enabled" : "disabled"}.` : "It was so already.",
          ]);
        }),
      );
  }
}
