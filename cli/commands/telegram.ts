import type { Command } from "commander";
import { CliError, exitCodes } from "../errors.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

const bot = (agentKey: string | undefined): { agentKey?: string } =>
  agentKey === undefined ? {} : { agentKey };

/** Without its token a bot cannot be connected. */
function nextOf(drift: readonly string[], secretRef: string, agentKey: string | undefined): string {
  return drift.some((line) => line.startsWith("no active '"))
    ? `Pipe the bot's token into: npm run factory -- secrets set ${secretRef}`
    : `npm run factory -- telegram connect${agentKey === undefined ? "" : ` ${agentKey}`}`;
}

export function addTelegram(program: Command, io: Io): void {
  const telegram = program
    .command("telegram")
    .description("bots: where Telegram delivers what people write; the stack's own are set by `pulumi up`");

  telegram
    .command("status")
    .description("Telegram's own record of a bot's webhook; exit code 1 when it is not as it should be")
    .argument("[agentKey]", "the agent's own bot; without it, the shared one")
    .action(
      action(io, async ({ backend, out }, agentKey: string | undefined) => {
        const status = await backend.run("telegramWebhookStatus", bot(agentKey));
        out.result(status, () => [
          `Bot       ${status.secretRef}`,
          `Webhook   ${status.currentUrl === null || status.currentUrl === "" ? "none" : status.currentUrl}`,
          `Waiting   ${status.pendingUpdateCount} updates`,
          ...(status.lastErrorMessage === null ? [] : [`Error     ${status.lastErrorMessage}`]),
          ...(status.drift.length === 0
            ? ["As it should be."]
            : status.drift.map((line) => `Differs: ${line}`)),
        ]);
        if (status.drift.length > 0) {
          throw new CliError(
            exitCodes.failed,
            "drift",
            `The webhook of ${status.secretRef} is not as it should be.`,
            nextOf(status.drift, status.secretRef, agentKey),
          );
        }
      }),
    );

  telegram
    .command("connect")
    .description("point a bot's webhook at this deployment; repeating it does no harm")
    .argument("[agentKey]", "the agent's own bot; without it, the shared one")
    .action(
      action(io, async ({ backend, out }, agentKey: string | undefined) => {
        const connected = await backend.run("configureTelegramWebhook", bot(agentKey));
        out.result(connected, () => [connected.description]);
        if (!connected.isReady) {
          throw new CliError(exitCodes.failed, "not_ready", connected.description, "Repeat it in a minute.");
        }
      }),
    );

  telegram
    .command("disconnect")
    .description("take no messages in; Telegram keeps them for up to 24 hours")
    .argument("[agentKey]", "the agent's own bot; without it, the shared one")
    .action(
      action(io, async ({ backend, out, confirm }, agentKey: string | undefined) => {
        await confirm("Stop Telegram from delivering to this deployment?");
        const gone = await backend.run("deleteTelegramWebhook", bot(agentKey));
        out.result(gone, () => [gone.description]);
      }),
    );
}
