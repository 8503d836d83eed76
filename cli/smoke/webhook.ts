/**
 * A synthetic update through the deployment's real webhook. It carries the header that Telegram would send: the
 * admin key may read the deployment's webhook secrets, so that no further secret has to be handed around.
 */
import { randomInt } from "node:crypto";
import * as z from "zod";
import { webhookHeaderValue } from "../../runtime/convex/ingress/webhookSecret.ts";
import type { Backend } from "../backend/client.ts";
import { SmokeFailure } from "./step.ts";

const TIMEOUT_MS = 30_000;
/**
 * Telegram counts updates of a bot upwards from a number of nine or ten digits. Ours are far above, so that the
 * deployment never takes a person's update for a repetition of ours.
 */
const UPDATE_ID_FLOOR = 2 ** 50;

/** What Telegram says about the bot's webhook. @throws SmokeFailure when it is not ready. */
export async function readyWebhook(
  backend: Backend,
  secretRef: string,
): Promise<{ url: string; detail: string }> {
  const status = await backend.run("telegramWebhookStatus", { secretRef });
  const url = status.currentUrl ?? "";
  if (!status.configured || url === "")
    throw new SmokeFailure(`${secretRef} has no webhook: ${status.drift.join("; ")}`);
  if (status.drift.length > 0) throw new SmokeFailure(`${secretRef}: ${status.drift.join("; ")}`);
  const last = status.lastErrorMessage === null ? "" : `, Telegram's last error: ${status.lastErrorMessage}`;
  return { url, detail: `${url}, ${status.pendingUpdateCount} updates pending${last}` };
}

const variablesSchema = z.object({ environmentVariables: z.record(z.string(), z.string()) });
const secretsSchema = z.object({ current: z.string().min(1), previous: z.string().nullable().default(null) });

async function headerOf(access: { url: string; adminKey: string }, secretRef: string): Promise<string> {
  const response = await fetch(`${access.url}/api/v1/list_environment_variables`, {
    headers: { authorization: `Convex ${access.adminKey}` },
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const variables = variablesSchema.safeParse(await response.json().catch(() => null));
  const text = variables.success
    ? variables.data.environmentVariables["TELEGRAM_WEBHOOK_SECRETS"]
    : undefined;
  if (text === undefined) {
    throw new SmokeFailure(
      `TELEGRAM_WEBHOOK_SECRETS cannot be read (${response.status}): the key needs the right to read environment variables`,
    );
  }
  // What the stack wrote; a malformed one fails the deployment's own webhook too.
  return await webhookHeaderValue(secretsSchema.parse(JSON.parse(text)), secretRef);
}

/** Posts one private text message of `chatId`. @throws SmokeFailure unless the webhook accepted it. */
export async function postUpdate(
  access: { url: string; adminKey: string },
  webhook: { url: string; secretRef: string },
  { chatId, text }: { chatId: number; text: string },
): Promise<{ detail: string }> {
  const person = { id: chatId, is_bot: false, first_name: "Smoke" };
  const response = await fetch(webhook.url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-telegram-bot-api-secret-token": await headerOf(access, webhook.secretRef),
    },
    body: JSON.stringify({
      update_id: UPDATE_ID_FLOOR + randomInt(2 ** 47),
      message: {
        message_id: randomInt(2 ** 31),
        chat: { id: chatId, type: "private", first_name: "Smoke" },
        from: person,
        text,
      },
    }),
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const body = (await response.text()).slice(0, 300);
  if (response.status !== 202) throw new SmokeFailure(`the webhook answered ${response.status}: ${body}`);
  return { detail: "202, accepted" };
}
