import { isBotSecretRef } from "./botSecret.ts";
import { checkSecret } from "./secretRef.ts";

/** `<bot id>:<secret>`: what BotFather gives. */
const TELEGRAM_TOKEN = /^\d+:\S+$/;

/** Whether a stored secret is plainly of another kind than its ref wants; null: no objection. Never quotes it. */
export function secretKindProblem(
  secretRef: string,
  value: string,
  deployment: { cloudUrl: string; siteUrl: string },
): string | null {
  const isTelegram = TELEGRAM_TOKEN.test(value.trim());
  if (secretRef === "fly.apiToken" && (isTelegram || URL.canParse(value.trim()))) {
    return `'fly.apiToken' holds ${isTelegram ? "a Telegram bot token" : "a URL"}, not a Fly token.`;
  }
  if (isBotSecretRef(secretRef) && !isTelegram) {
    return `'${secretRef}' does not hold a Telegram bot token (<bot id>:<secret>).`;
  }
  const known = (url: string): string | undefined => (url === "" ? undefined : url);
  return checkSecret(secretRef, value, {
    cloudUrl: known(deployment.cloudUrl),
    siteUrl: known(deployment.siteUrl),
  });
}
