/**
 * The secret header of the webhook. Each bot's value is derived from the environment's master secret and the bot's
 * secret ref, so that no bot can speak for another and nothing has to be stored. While the master secret rotates,
 * values of the former one are still accepted: no update is lost between `pulumi up` and setWebhook.
 */
import * as z from "zod";
import { constantTimeEqual, hmacBase64Url, sha256Hex, utf8 } from "../secrets/digest.ts";

declare const process: { env: Record<string, string | undefined> };

/** Set by the stack, as JSON. Secrets are texts; their UTF-8 bytes are the HMAC key. */
const WEBHOOK_SECRETS_ENV = "TELEGRAM_WEBHOOK_SECRETS";

const secretsSchema = z.object({
  current: z.string().min(16),
  previous: z.string().min(16).nullable().default(null),
});
type WebhookSecrets = z.output<typeof secretsSchema>;

/** A header longer than Telegram's own limit (256) is not worth hashing. */
const HEADER_UNITS_MAX = 256;

/** null when the deployment has no usable secrets: the webhook then answers 503, and Telegram tries again later. */
export function readWebhookSecrets(): WebhookSecrets | null {
  const text = process.env[WEBHOOK_SECRETS_ENV];
  if (text === undefined) return null;
  try {
    const parsed = secretsSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Value of `X-Telegram-Bot-Api-Secret-Token` for one bot under the current master secret. */
export async function webhookHeaderValue(secrets: WebhookSecrets, botSecretRef: string): Promise<string> {
  return await hmacBase64Url(utf8(secrets.current), botSecretRef);
}

/**
 * Which of the bots that share a path sent this header; null when none did. Every candidate is compared, whatever
 * an earlier one came to, and only digests are compared.
 */
export async function botOfHeader(
  secrets: WebhookSecrets,
  header: string | null,
  candidateRefs: readonly string[],
): Promise<string | null> {
  const actual = await sha256Hex((header ?? "").slice(0, HEADER_UNITS_MAX + 1));
  let found: string | null = null;
  for (const ref of candidateRefs) {
    for (const master of [secrets.current, secrets.previous]) {
      const expected = await sha256Hex(await hmacBase64Url(utf8(master ?? crypto.randomUUID()), ref));
      if (constantTimeEqual(actual, expected)) found = ref;
    }
  }
  return found;
}
