import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { UsageError } from "../service/process.ts";

/** Where `npm run local` says what it runs. */
export const ENVIRONMENT_FILE = join(
  dirname(fileURLToPath(import.meta.url)),
  "..",
  "..",
  ".local",
  "environment.json",
);

const environmentSchema = z.looseObject({
  telegram: z.looseObject({ url: z.url(), botUsername: z.string().min(1) }),
});

/**
 * The running environment's Telegram and bot.
 *
 * @throws {UsageError} with the command that starts one, when none is running.
 */
export function findEnvironment(file: string): { telegramUrl: string; bot: string } {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    throw new UsageError(
      "No local environment is running. Start one in another terminal with: npm run local\n" +
        "(or name a Telegram server with --telegram-url <url> --bot <username>)",
    );
  }
  const parsed = environmentSchema.safeParse(parseJson(text));
  if (!parsed.success)
    throw new UsageError(`${file} is not readable. Start the environment again with: npm run local`);
  return { telegramUrl: parsed.data.telegram.url, bot: parsed.data.telegram.botUsername };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Half-written or damaged: the schema refuses it with the right words.
    return undefined;
  }
}
