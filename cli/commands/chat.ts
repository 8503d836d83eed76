import type { Command } from "commander";
import { readLocalEnvironment } from "../environment/localFile.ts";
import { CliError, exitCodes, usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { plainAction } from "./session.ts";

const CHAT_PROGRAM = "local/chat/main.ts";

/** Talks as a person to the local environment's bot: in the terminal, or one message and its answer. */
export function addChat(program: Command, io: Io): void {
  program
    .command("chat")
    .description("talk to the local environment's bot; with a message, print its answer and end")
    .argument("[message]")
    .option("--user-id <n>", "who you are; another number is another person")
    .action(
      plainAction(
        io,
        async ({ out, options: given }, message: string | undefined, options: { userId?: string }) => {
          if ((given.stack ?? "local") !== "local" || given.convexUrl !== undefined) {
            throw usageError("chat is for the local environment; a deployed bot is on Telegram.");
          }
          if (readLocalEnvironment(io.root) === null) {
            throw usageError(
              "No local environment is running.",
              "Start one in another terminal: npm run local",
            );
          }
          if (message === undefined && out.json) throw usageError("chat --json needs a message.");
          const args = options.userId === undefined ? [] : ["--user-id", options.userId];
          const run = await io.runProgram(
            CHAT_PROGRAM,
            args,
            message === undefined ? null : `${oneLine(message)}\n`,
          );
          if (run.code !== 0) {
            throw new CliError(
              run.code === exitCodes.usage ? exitCodes.usage : exitCodes.failed,
              "chat_failed",
              run.stderr.trim() || `The chat ended with ${run.code}.`,
            );
          }
          if (message !== undefined) {
            out.result({ message, answer: run.stdout.trimEnd() }, () => [run.stdout.trimEnd()]);
          }
        },
      ),
    );
}

/** The chat reads one message per line. */
const oneLine = (text: string): string => text.replace(/\s*\r?\n\s*/g, " ");
