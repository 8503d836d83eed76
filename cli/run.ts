/** One run of the command line, from arguments to exit code. */
import { CommanderError, type Command } from "commander";
import { type ExitCode, exitCodes, Reported, usageError } from "./errors.ts";
import type { Io } from "./io.ts";
import { Output } from "./output/output.ts";
import { buildProgram } from "./program.ts";

/** @param argv arguments alone, without the program. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  const program = buildProgram(io);
  throwInsteadOfExit(program);
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version end with 0; commander has told people what is wrong otherwise, but no script.
      if (error.exitCode === 0) return exitCodes.ok;
      if (argv.includes("--json"))
        new Output(io, true).failure(usageError(wordsOf(error), "--help shows the usage"));
      return exitCodes.usage;
    }
    if (error instanceof Reported) return error.exitCode;
    throw error;
  }
}

/** Commander's message without its prefix; a group without its command is answered with help, which is no message. */
function wordsOf({ code, message }: CommanderError): string {
  return code === "commander.help" ? "A command is missing." : message.replace(/^error: /, "");
}

/** `exitOverride` is inherited only by commands that are made after it is set. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}
