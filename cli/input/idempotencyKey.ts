/** Commands that must not act twice: each names its request, so that one without an answer can be repeated as it was. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { CliError, exitCodes, usageError } from "../errors.ts";

export interface KeyOption {
  idempotencyKey?: string;
}

const FLAG = "--idempotency-key";

export function withKey(command: Command): Command {
  return command.option(`${FLAG} <key>`, "of an earlier try that got no answer: together they act once");
}

/**
 * Makes the request under the given key, or a new one. @throws CliError of the request; one whose outcome is unknown
 * says with which key to repeat it.
 */
export async function once<T>({ idempotencyKey }: KeyOption, run: (key: string) => Promise<T>): Promise<T> {
  if (idempotencyKey !== undefined && !/^[\x21-\x7e]{1,128}$/.test(idempotencyKey)) {
    throw usageError(`${FLAG} must have 1 to 128 printable ASCII characters.`);
  }
  const key = idempotencyKey ?? randomUUID();
  try {
    return await run(key);
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== exitCodes.unknown) throw error;
    const next = `Repeat the same command with ${FLAG} ${key}: whatever this try has done is not done again.`;
    throw new CliError(error.exitCode, error.code, error.message, next);
  }
}
