import { usageError } from "../errors.ts";

/** A whole number within bounds. @throws CliError that names the flag. */
export function parseWhole(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw usageError(`${flag} must be a whole number from ${min} to ${max}, got '${text}'.`);
  }
  return value;
}
