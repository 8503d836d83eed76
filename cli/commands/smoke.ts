import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { CliError, exitCodes, usageError } from "../errors.ts";
import { oneOf } from "../input/oneOf.ts";
import type { Io } from "../io.ts";
import { duration, parseDuration } from "../output/time.ts";
import { SmokeFailure, StepList } from "../smoke/step.ts";
import { answerThroughApi, deliveryInChat, messagesOfChat } from "../smoke/turn.ts";
import { postUpdate, readyWebhook } from "../smoke/webhook.ts";
import { action, type Session } from "./session.ts";

interface SmokeOptions {
  through: string;
  agent: string;
  bot?: string;
  chat?: string;
  timeout: string;
  webhookCheck: boolean;
}

const WEBHOOK_TEXT = "Smoke test of this deployment: please answer with one short sentence.";

async function runSteps(session: Session, options: SmokeOptions, list: StepList): Promise<void> {
  const { backend, io, target, adminKey } = session;
  const wait = { timeoutMs: parseDuration("--timeout", options.timeout), io };
  const secretRef = options.bot ?? "telegram.botToken.default";
  const through = oneOf("--through", options.through, ["api", "webhook"]);
  if (through === "api") {
    if (options.webhookCheck) await list.run("webhook", () => readyWebhook(backend, secretRef));
    await list.run("turn", () =>
      answerThroughApi(backend, { agentKey: options.agent, nonce: randomUUID() }, wait),
    );
    return;
  }
  const chatId = Number(options.chat);
  if (options.chat === undefined || !Number.isSafeInteger(chatId) || chatId <= 0) {
    throw usageError("--through webhook needs --chat <id>: a private chat that has started the bot.");
  }
  const webhook = await list.run("webhook", () => readyWebhook(backend, secretRef));
  const before = new Set<string>(
    (await messagesOfChat(backend, String(chatId))).map(({ messageId }) => messageId),
  );
  await list.run("ingress", () =>
    postUpdate(
      { url: target.url, adminKey },
      { url: webhook.url, secretRef },
      { chatId, text: WEBHOOK_TEXT },
    ),
  );
  await list.run("delivery", () => deliveryInChat(backend, { chatId: String(chatId), before }, wait));
}

/** What each way shows and what it leaves open: docs/operations.md, smoke. */
export function addSmoke(program: Command, io: Io): void {
  program
    .command("smoke")
    .description("one turn through the deployed environment; exit code 1 when a step does not hold")
    .option(
      "--through <way>",
      "api: enqueue and wait for the answer; webhook: through the webhook to a chat",
      "api",
    )
    .option("--agent <agentKey>", "who answers (api)", "default")
    .option("--bot <secretRef>", "whose webhook", "telegram.botToken.default")
    .option("--chat <id>", "private chat that has started the bot (webhook)")
    .option("--timeout <duration>", "longest wait for each step", "5m")
    .option("--no-webhook-check", "for an environment without a bot (api)")
    .action(
      action(io, async (session, options: SmokeOptions) => {
        const { out, target } = session;
        const list = new StepList(io, (text) => out.note(text));
        let failure: SmokeFailure | null = null;
        try {
          await runSteps(session, options, list);
        } catch (error) {
          if (!(error instanceof SmokeFailure)) throw error;
          failure = error;
        }
        const total = list.steps.reduce((sum, step) => sum + step.ms, 0);
        const report = {
          ok: failure === null,
          target: target.name,
          through: options.through,
          steps: list.steps,
        };
        out.result(report, () => [
          `${failure === null ? "Smoke passed" : "Smoke failed"}: ${list.steps.length} step(s) in ${duration(total)}.`,
        ]);
        if (failure !== null) {
          throw new CliError(exitCodes.failed, "smoke_failed", failure.message, "npm run factory -- doctor");
        }
      }),
    );
}
