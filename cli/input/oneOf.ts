import { usageError } from "../errors.ts";

/** @throws CliError that lists what is allowed. */
export function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw usageError(`${flag} must be one of ${allowed.join(", ")}, got '${value}'.`);
  return found;
}
