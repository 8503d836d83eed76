/** The skills of a profile inside a conversation's folder: copies that are put right before every turn. */
import { cp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ensureRealDir, isRealDir } from "../snapshot/realDir.ts";
import { hashSkill } from "./hash.ts";
import type { Skill } from "./policy.ts";

/** Where an agent finds its skills, relative to its folder. Never part of a snapshot: the image brings them. */
export const SKILLS_FOLDER = "skills";
const otherSkillFolder = ".agents";

/**
 * Makes `skills/` hold exactly `wanted`: the agent, or a snapshot of another image, may have changed it.
 *
 * @returns names that were found there and removed, those of the image that are merely not wanted left out.
 */
export async function installSkills(
  folder: string,
  wanted: readonly Skill[],
  image: readonly Skill[],
): Promise<string[]> {
  const dir = join(folder, SKILLS_FOLDER);
  await rm(join(folder, otherSkillFolder), { recursive: true, force: true });
  const byName = new Map(wanted.map((skill) => [skill.name, skill]));
  const known = new Set(image.map((skill) => skill.name));
  const removed: string[] = [];
  const present = new Set<string>();
  const entries = (await isRealDir(dir)) ? await readdir(dir, { withFileTypes: true }) : [];
  for (const entry of entries) {
    const skill = byName.get(entry.name);
    const path = join(dir, entry.name);
    const intact =
      skill !== undefined &&
      entry.isDirectory() &&
      (await hashSkill(path).catch(() => null)) === skill.sha256;
    if (intact) {
      present.add(entry.name);
      continue;
    }
    await rm(path, { recursive: true, force: true });
    if (!known.has(entry.name)) removed.push(entry.name);
  }
  const missing = wanted.filter((skill) => !present.has(skill.name));
  if (missing.length > 0) await ensureRealDir(dir);
  for (const skill of missing) {
    await cp(skill.dir, join(dir, skill.name), { recursive: true, errorOnExist: true, force: false });
  }
  return removed;
}

/** What a model is told about its skills; empty when it has none. */
export function skillsPrompt(skills: readonly Skill[]): string {
  if (skills.length === 0) return "";
  const lines = skills.map(
    ({ name, description }) => `- ${name}: ${description} (${SKILLS_FOLDER}/${name}/SKILL.md)`,
  );
  return `# Skills\nWhen a task matches one of these, read its file first and follow it:\n${lines.join("\n")}`;
}
