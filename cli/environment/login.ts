/** The environment that commands operate when no flag names one. Holds where it is, never a key. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { readJsonFile } from "./jsonFile.ts";

const loginSchema = z.object({ stack: z.string().nullable(), url: z.url(), siteUrl: z.url().nullable() });
export type Login = z.infer<typeof loginSchema>;

export function loginFile(root: string): string {
  return join(root, ".local", "operator.json");
}

export function readLogin(root: string): Login | null {
  return readJsonFile(loginFile(root), loginSchema, "Log in again: npm run factory -- login --stack <name>");
}

export function writeLogin(root: string, login: Login): void {
  const file = loginFile(root);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 });
}

/** Returns false when there was no login. */
export function removeLogin(root: string): boolean {
  if (readLogin(root) === null) return false;
  rmSync(loginFile(root), { force: true });
  return true;
}
