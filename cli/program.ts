/** The whole command line: every command, its options and its help. */
import { readFileSync } from "node:fs";
import { Command, Help, type Option } from "commander";
import { addAgents } from "./commands/agents.ts";
import { addAudit } from "./commands/audit.ts";
import { addBindings } from "./commands/bindings.ts";
import { addBroadcast } from "./commands/broadcast.ts";
import { addChat } from "./commands/chat.ts";
import { addCleanup } from "./commands/cleanup.ts";
import { addCompletion } from "./commands/completion.ts";
import { addConfig } from "./commands/config.ts";
import { addDeadLetters } from "./commands/deadLetters.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addLogin } from "./commands/login.ts";
import { addPairing } from "./commands/pairing.ts";
import { addPush } from "./commands/push.ts";
import { addQueue } from "./commands/queue.ts";
import { addReplies } from "./commands/replies.ts";
import { addRollouts } from "./commands/rollouts.ts";
import { addSecrets } from "./commands/secrets.ts";
import { addServiceKeys } from "./commands/serviceKeys.ts";
import { addSmoke } from "./commands/smoke.ts";
import { addTelegram } from "./commands/telegram.ts";
import { addWebhooks } from "./commands/webhooks.ts";
import { addWorkers } from "./commands/workers.ts";
import type { Io } from "./io.ts";

const EPILOGUE = `
Which environment: --stack or --convex-url, else the one of \`login\`, else the running local one.
Which key: the local environment's own file; for others CONVEX_DEPLOY_KEY, CONVEX_TEAM_TOKEN (a key is made for
the command and deleted) or CONVEX_SELF_HOSTED_ADMIN_KEY from the environment. Never an argument.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 unreachable,
5 unknown (it may have been done), 130 interrupted.`;

/** Commander's own text, but for lists that are empty unless given: `(default: [])` helps nobody. */
function optionDescription(option: Option): string {
  const { defaultValue } = option;
  if (Array.isArray(defaultValue) && defaultValue.length === 0) return option.description;
  return new Help().optionDescription(option);
}

/** The project's version; a clone's commit says more, but an unpacked archive has none. */
function projectVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return manifest.version;
}

export function buildProgram(io: Io): Command {
  const program = new Command("agent-factory")
    .description("Operates an environment of Agent Factory.")
    .option("--json", "print one JSON document and nothing else on stdout")
    .option("--stack <name>", "the environment of a Pulumi stack")
    .option("--convex-url <url>", "the environment of a deployment (https://<name>.convex.cloud)")
    .option("--actor <name>", "who the audit log names (default: cli:<your user name>)")
    .option("--yes", "answer questions with yes")
    .version(projectVersion(), "--version", "print the version of Agent Factory")
    .showHelpAfterError("(--help shows the usage)")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false, optionDescription })
    .addHelpText("after", EPILOGUE)
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    });
  for (const add of [
    addDoctor,
    addQueue,
    addDeadLetters,
    addReplies,
    addWorkers,
    addRollouts,
    addConfig,
    addAgents,
    addSecrets,
    addTelegram,
    addPairing,
    addBindings,
    addServiceKeys,
    addPush,
    addBroadcast,
    addWebhooks,
    addAudit,
    addCleanup,
    addSmoke,
    addChat,
    addLogin,
    addCompletion,
  ]) {
    add(program, io);
  }
  return program;
}
