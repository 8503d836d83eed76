/** The environment that `npm run local` runs, as it says in `.local/environment.json`. */
import { join } from "node:path";
import * as z from "zod";
import { readJsonFile } from "./jsonFile.ts";

const localSchema = z.looseObject({
  convex: z.looseObject({ url: z.url(), siteUrl: z.url(), adminKeyFile: z.string().min(1) }),
});

export function localEnvironmentFile(root: string): string {
  return join(root, ".local", "environment.json");
}

/** null when none is running. @throws CliError when the file is there and cannot be read. */
export function readLocalEnvironment(
  root: string,
): { url: string; siteUrl: string; adminKeyFile: string } | null {
  const found = readJsonFile(localEnvironmentFile(root), localSchema, "Start it again with: npm run local");
  if (found === null) return null;
  const { url, siteUrl, adminKeyFile } = found.convex;
  return { url: url.replace(/\/+$/, ""), siteUrl: siteUrl.replace(/\/+$/, ""), adminKeyFile };
}
