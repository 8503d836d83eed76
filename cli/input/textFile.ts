import { readFileSync, statSync } from "node:fs";
import { usageError } from "../errors.ts";

/** A profile's texts and schemas; larger than any of them may be. */
const BYTES_MAX = 512 * 1024;

/** Text of a file that an option names. @throws CliError that names the option. */
export function readTextFile(flag: string, file: string): string {
  try {
    const { size } = statSync(file);
    if (size > BYTES_MAX) throw usageError(`${flag}: ${file} is larger than ${BYTES_MAX} bytes.`);
    return readFileSync(file, "utf8");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && typeof error.code === "string")) throw error;
    if (error.code === "usage") throw error;
    throw usageError(`${flag}: ${file} cannot be read (${error.code}).`);
  }
}

/** The same as JSON. */
export function readJsonOption(flag: string, file: string): unknown {
  try {
    return JSON.parse(readTextFile(flag, file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw usageError(`${flag}: ${file} is not valid JSON: ${error.message}`);
  }
}
