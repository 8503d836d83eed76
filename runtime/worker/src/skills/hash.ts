/** What identifies a skill: one SHA-256 over the names and contents of its files. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";

/** SHA-256 (hex) of one skill's files. @throws when SKILL.md is missing or a link or special file is found. */
export async function hashSkill(dir: string): Promise<string> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  const paths: string[] = [];
  for (const entry of entries) {
    const path = relative(dir, join(entry.parentPath, entry.name)).split(sep).join("/");
    if (entry.isFile()) paths.push(path);
    else if (!entry.isDirectory())
      throw new Error(`Skill folder ${dir} contains a link or special file: ${path}`);
  }
  if (!paths.includes("SKILL.md")) throw new Error(`Skill folder ${dir} has no SKILL.md`);
  const hash = createHash("sha256");
  for (const path of paths.sort()) {
    const content = await readFile(join(dir, path));
    hash.update(`${path}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex");
}
