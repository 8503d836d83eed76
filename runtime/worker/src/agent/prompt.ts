/** The words that every turn starts with, beside what OpenClaw injects itself. */
import { join } from "node:path";
import type { Profile } from "../../../convex/validators.ts";
import { type Skill } from "../skills/policy.ts";
import { skillsPrompt } from "../skills/install.ts";
import { readRegularFile } from "../snapshot/folder.ts";
import { templatesOf } from "./profileFiles.ts";

/** Files that OpenClaw does not inject from a conversation's folder; AGENTS.md it does. */
const promptFiles = ["SOUL.md", "IDENTITY.md", "USER.md", "TOOLS.md", "HEARTBEAT.md", "MEMORY.md"] as const;
/** Characters of one file in the prompt; the agent can read the rest with its tools. */
const FILE_CHARS_MAX = 20_000;

/** Composes the conversation's part of the system prompt. */
export async function composePrompt(
  folder: string,
  profile: Profile,
  skills: readonly Skill[],
): Promise<string> {
  const sections: string[] = [];
  for (const path of promptFiles) {
    const content = (await readText(folder, path))?.trim();
    if (content) sections.push(`# ${path}\n${clip(content)}`);
  }
  for (const [path, template] of Object.entries(templatesOf(profile))) {
    // The agent has rewritten the file: it keeps its words, and the operator's still stand.
    if (template.trim() !== "" && (await readText(folder, path)) !== template) {
      sections.push(`# Profile (set by the operator; it stands above ${path})\n${clip(template.trim())}`);
    }
  }
  const skillWords = skillsPrompt(skills);
  if (skillWords !== "") sections.push(skillWords);
  return sections.join("\n\n");
}

async function readText(folder: string, path: string): Promise<string | undefined> {
  return (await readRegularFile(join(folder, path)))?.toString("utf8");
}

function clip(text: string): string {
  return text.length <= FILE_CHARS_MAX ? text : `${text.slice(0, FILE_CHARS_MAX)}\n[shortened]`;
}
