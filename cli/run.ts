/** One run of the command line, from arguments to exit code. */
import { CommanderError, type Command } from "commander";
import { type ExitCode, exitCodes, Reported } from "./errors.ts";
import type { Io } from "./io.ts";
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
      // Help and version end with 0; commander has said what is wrong otherwise.
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    }
    if (error instanceof Reported) return error.exitCode;
    throw error;
  }
}

/** `exitOverride` is inherited only by commands that are made after it is set. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}
