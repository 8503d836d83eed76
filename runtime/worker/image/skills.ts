/** The skills that go into the image, each with a valid manifest. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { hashSkill } from "../src/skills/hash.ts";

const manifestSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, "lower case letters, digits and hyphens"),
  version: z.string().min(1),
  description: z.string().min(1),
  license: z.string().min(1).optional(),
});

/**
 * Hashes every skill of a folder.
 *
 * @returns skill name → SHA-256 (hex), in order of name.
 * @throws when a skill has no SKILL.md, no valid manifest.json, or a manifest that names another skill.
 */
export async function hashSkills(skillsDir: string): Promise<Record<string, string>> {
  const entries = await readdir(skillsDir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const hashes: Record<string, string> = {};
  for (const name of names.sort()) {
    const dir = join(skillsDir, name);
    const manifest = manifestSchema.safeParse(await readJson(join(dir, "manifest.json")));
    if (!manifest.success)
      throw new Error(`Skill '${name}': manifest.json: ${z.prettifyError(manifest.error)}`);
    if (manifest.data.name !== name)
      throw new Error(`Skill '${name}': manifest.json names '${manifest.data.name}'`);
    hashes[name] = await hashSkill(dir);
  }
  return hashes;
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as unknown;
  } catch (error) {
    throw new Error(
      `${path} cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
