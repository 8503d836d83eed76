import { readFileSync } from "node:fs";
import type * as z from "zod";
import { usageError } from "../errors.ts";

/** A JSON file of ours, null when there is none. @throws CliError when it is there and malformed. */
export function readJsonFile<T>(file: string, schema: z.ZodType<T>, next: string): T | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw usageError(`${file} is not valid JSON.`, next);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`);
  throw usageError(`${file} is not usable:\n${problems.join("\n")}`, next);
}
