import { createInterface } from "node:readline";
import { parseArgs, styleText } from "node:util";
import { UsageError } from "../service/process.ts";
import { sendAndCollect, watchBot } from "./dialogue.ts";
import { ENVIRONMENT_FILE, findEnvironment } from "./environment.ts";
import { type ChatEntry, openPhone, type Phone, PhoneError } from "./phone.ts";

/** The first answer boots a worker, whose gateway takes minutes where every core is busy. */
const COLD_ANSWER_MS = 240_000;
const NO_ANSWER_NEXT =
  "It may still come: npm run factory -- workers list shows whether a worker boots, npm run factory -- doctor what is wrong.";

const USAGE = `npm run chat -- [options]
  --telegram-url <url>   the local Telegram; found by itself while npm run local runs
  --bot <username>       the bot to talk to; found likewise
  --user-id <n>          who you are (default 1000); another number is another person
  --name <name>          your first name (default You)
  --timeout-ms <n>       how long to wait for an answer when the input is not a terminal (default 240000)
  --settle-ms <n>        silence after which an answer counts as complete, likewise (default 600)`;

// Who reads the answers has seen enough (`| head -1`): nothing more is said to nobody.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exit(await main());

/** Exit codes: 0 done, 1 no answer or no connection, 2 wrong usage. */
async function main(): Promise<number> {
  try {
    const options = readOptions();
    const phone = openPhone({ telegramUrl: options.telegramUrl, bot: options.bot, user: options.user });
    return process.stdin.isTTY
      ? await chatInTerminal(phone, options.bot)
      : await chatFromPipe(phone, options);
  } catch (error) {
    if (error instanceof UsageError || error instanceof PhoneError) {
      console.error(error.message);
      return error instanceof UsageError ? 2 : 1;
    }
    throw error;
  }
}

/** A person types; whatever the bot does shows up as it happens. */
async function chatInTerminal(phone: Phone, bot: string): Promise<number> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "you> " });
  const stopped = new AbortController();
  let failure: PhoneError | undefined;
  const show = (entry: ChatEntry): void => {
    const text = entry.kind === "action" ? styleText("dim", "is typing …") : entry.text;
    const edited = entry.kind === "edit" ? " (edited)" : "";
    // The line that is being typed moves below what came in.
    process.stdout.write(`\r\u001b[K${styleText("green", `@${bot}${edited}`)} ${text}\n`);
    lines.prompt(true);
  };
  console.info(`You are talking to @${bot}. Type a message; /quit ends the chat.`);
  const watching = watchBot(phone, await phone.newest(), stopped.signal, show).catch((error: unknown) => {
    if (!(error instanceof PhoneError)) throw error;
    failure = error;
    lines.close();
  });
  lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text === "/quit") break;
    if (text !== "") await phone.send(text);
    lines.prompt();
  }
  stopped.abort();
  lines.close();
  if (!failure) return 0;
  await watching;
  console.error(`\n${failure.message}`);
  return 1;
}

/** Each line is sent and its answer awaited, then the next. */
async function chatFromPipe(phone: Phone, options: Options): Promise<number> {
  for await (const line of createInterface({ input: process.stdin })) {
    const text = line.trim();
    if (text === "/quit") break;
    if (text === "") continue;
    const reply = await sendAndCollect(phone, text, options.timing);
    if (reply.kind === "timeout") {
      console.error(`No answer within ${options.timing.timeoutMs} ms to: ${text}\n${NO_ANSWER_NEXT}`);
      return 1;
    }
    for (const answer of reply.texts) console.info(answer);
  }
  return 0;
}

interface Options {
  telegramUrl: string;
  bot: string;
  user: { id: number; name: string };
  timing: { timeoutMs: number; settleMs: number };
}

function readOptions(): Options {
  const values = readArguments();
  const given = { telegramUrl: values["telegram-url"], bot: values.bot?.replace(/^@/, "") };
  const { telegramUrl, bot } =
    given.telegramUrl !== undefined && given.bot !== undefined
      ? { telegramUrl: given.telegramUrl, bot: given.bot }
      : mergeDefined(findEnvironment(ENVIRONMENT_FILE), given);
  if (!URL.canParse(telegramUrl)) throw new UsageError(`--telegram-url must be a URL, got '${telegramUrl}'.`);
  return {
    telegramUrl,
    bot,
    user: { id: positive("--user-id", values["user-id"], 1_000), name: values.name ?? "You" },
    timing: {
      timeoutMs: positive("--timeout-ms", values["timeout-ms"], COLD_ANSWER_MS),
      settleMs: positive("--settle-ms", values["settle-ms"], 600),
    },
  };
}

function mergeDefined(
  found: { telegramUrl: string; bot: string },
  given: { telegramUrl: string | undefined; bot: string | undefined },
): { telegramUrl: string; bot: string } {
  return { telegramUrl: given.telegramUrl ?? found.telegramUrl, bot: given.bot ?? found.bot };
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        "telegram-url": { type: "string" },
        bot: { type: "string" },
        "user-id": { type: "string" },
        name: { type: "string" },
        "timeout-ms": { type: "string" },
        "settle-ms": { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

function positive(flag: string, value: string | undefined, fallback: number): number {
  const number = Number(value ?? fallback);
  if (!Number.isSafeInteger(number) || number <= 0) {
    throw new UsageError(`${flag} must be a positive integer, got '${value}'.`);
  }
  return number;
}
