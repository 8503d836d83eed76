import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parsePort, runService, UsageError } from "../service/process.ts";
import { ApiError } from "./errors.ts";
import { TELEGRAM_FLOOD_LIMITS } from "./flood.ts";
import { startTelegram } from "./server.ts";

const USAGE =
  "node local/telegram/main.ts --state <dir> [--port <n>] [--bot <token file>:<username> …] [--flood-limits] [--time-scale <n>]";

await runService("telegram", () => {
  const { values } = readArguments();
  if (!values.state) throw new UsageError(`--state <dir> is required.\n${USAGE}`);
  const timeScale = Number(values["time-scale"] ?? "1");
  if (!(timeScale > 0))
    throw new UsageError("--time-scale must be a number above 0; 1 is Telegram's own pace.");
  return startTelegram({
    state: values.state,
    port: parsePort(values.port),
    bots: (values.bot ?? []).map(readBot),
    floodLimits: values["flood-limits"] ? TELEGRAM_FLOOD_LIMITS : [],
    timeScale,
  }).catch((error: unknown) => {
    // A bot that cannot be registered is a mistake in --bot or in its file.
    throw error instanceof ApiError ? new UsageError(error.message.replace(/^Bad Request: /, "")) : error;
  });
});

function readArguments() {
  try {
    return parseArgs({
      options: {
        state: { type: "string" },
        port: { type: "string" },
        bot: { type: "string", multiple: true },
        "flood-limits": { type: "boolean" },
        "time-scale": { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

/** The token is read from a file because process arguments are visible to every user of the machine. */
function readBot(value: string): { token: string; username: string } {
  const split = value.lastIndexOf(":");
  const file = value.slice(0, split);
  const username = value.slice(split + 1);
  if (split < 1 || username === "") throw new UsageError("--bot must be <token file>:<username>.");
  try {
    return { token: readFileSync(file, "utf8").trim(), username };
  } catch (error) {
    throw new UsageError(`--bot: the token file cannot be read: ${String(error)}`);
  }
}
