/**
 * Only skills of the image exist at run time (spec L). The image's are verified against the hashes that its build
 * wrote; whatever else lies in a folder where skills are looked for is removed at every start and reported.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isRealDir } from "../snapshot/realDir.ts";
import { hashSkill } from "./hash.ts";

export interface Skill {
  name: string;
  sha256: string;
  /** First line that tells a model when to use it. */
  description: string;
  dir: string;
}

export interface SkillReport {
  skills: Skill[];
  /** `<where>/<name>` of everything that was removed or refused. */
  removed: string[];
}

/** Folders in which OpenClaw, or a person with access to the disk, could have put skills. */
const foreignSkillFolders = [
  "run/state/skills",
  "run/state/skills-workshop",
  "run/workspace/skills",
  "run/workspace/.agents/skills",
  "run/workspace-extended/skills",
  "run/workspace-extended/.agents/skills",
  "run/home/.agents/skills",
  "run/home/.openclaw/skills",
  "workspace/skills",
  "skills",
];
/** Below each conversation's folder. */
const conversationSkillFolders = ["skills", ".agents/skills"];

/**
 * Verifies the image's skills and removes all others.
 *
 * @param expected name → SHA-256, as the image's build wrote it.
 */
export async function enforceSkillPolicy(
  skillsDir: string,
  expected: ReadonlyMap<string, string>,
  dataDir: string,
): Promise<SkillReport> {
  const report: SkillReport = { skills: [], removed: [] };
  for (const name of await namesIn(skillsDir)) {
    const dir = join(skillsDir, name);
    const sha256 = await hashSkill(dir).catch(() => null);
    if (sha256 !== null && sha256 === expected.get(name)) {
      report.skills.push({ name, sha256, dir, description: await describe(dir, name) });
    } else {
      // A read-only image cannot lose the folder; it is not offered to anybody either way.
      await rm(dir, { recursive: true, force: true }).catch(() => undefined);
      report.removed.push(`image/${name}`);
    }
  }
  const conversations = await namesIn(join(dataDir, "conversations"));
  const folders = [
    ...foreignSkillFolders,
    ...conversations.flatMap((name) =>
      conversationSkillFolders.map((folder) => `conversations/${name}/${folder}`),
    ),
  ];
  for (const folder of folders) {
    for (const name of await namesIn(join(dataDir, folder))) {
      await rm(join(dataDir, folder, name), { recursive: true, force: true });
      // A conversation's own copies of image skills are gone with its folder and not worth a report.
      if (!folder.startsWith("conversations/") || !expected.has(name))
        report.removed.push(`${folder}/${name}`);
    }
  }
  return report;
}

async function namesIn(dir: string): Promise<string[]> {
  // A link is removed and not looked into: what it points to is not ours to clean.
  return (await isRealDir(dir)) ? (await readdir(dir)).sort() : [];
}

const DESCRIPTION_CHARS_MAX = 500;

/** The `description` of SKILL.md's front matter. */
async function describe(dir: string, name: string): Promise<string> {
  const text = await readFile(join(dir, "SKILL.md"), "utf8");
  const frontMatter = /^---\n([\s\S]*?)\n---/.exec(text)?.[1] ?? "";
  const description = /^description:\s*(.+)$/m.exec(frontMatter)?.[1]?.trim() ?? name;
  return description.slice(0, DESCRIPTION_CHARS_MAX);
}
