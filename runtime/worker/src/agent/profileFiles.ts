/**
 * A profile as files of a conversation's folder. The files belong to the agent: it may rewrite them, and what it
 * wrote is never overwritten by a template. The profile still reaches the model then, as part of the prompt.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Profile } from "../../../convex/validators.ts";
import { readRegularFile, sha256Hex } from "../snapshot/folder.ts";

/** Path → SHA-256 of the template last written there. */
export type TemplateRecord = Record<string, string>;
const recordSchema = z.record(z.string(), z.string());

export function parseTemplateRecord(content: Buffer | undefined): TemplateRecord {
  if (content === undefined) return {};
  return recordSchema.parse(JSON.parse(content.toString("utf8")));
}

/** File of the folder → what the profile wants in it. */
export function templatesOf(profile: Profile): Record<string, string> {
  const hasClient = profile.clientMd !== undefined && profile.clientMd.trim() !== "";
  return { "SOUL.md": profile.soulMd, ...(hasClient ? { "AGENTS.md": profile.clientMd ?? "" } : {}) };
}

/**
 * Writes the profile's templates where the agent has not written something of its own, and removes an untouched
 * one that the profile no longer has.
 *
 * @returns the new record, to be kept with the conversation.
 */
export async function applyProfile(
  folder: string,
  profile: Profile,
  record: TemplateRecord,
): Promise<TemplateRecord> {
  const next: TemplateRecord = { ...record };
  const templates = templatesOf(profile);
  for (const path of new Set([...Object.keys(record), ...Object.keys(templates)])) {
    const template = templates[path];
    const existing = await readRegularFile(join(folder, path));
    const written = record[path];
    const untouched = existing === null ? written === undefined : sha256Hex(existing) === written;
    if (!untouched) continue; // Rewritten or removed by the agent.
    if (template === undefined) {
      await rm(join(folder, path), { force: true });
      delete next[path];
      continue;
    }
    const content = Buffer.from(template);
    const sha256 = sha256Hex(content);
    if (sha256 === written) continue;
    await replaceFile(join(folder, path), content);
    next[path] = sha256;
  }
  return next;
}

/** Never through a link that took the file's place. */
async function replaceFile(path: string, content: Buffer): Promise<void> {
  await rm(path, { force: true, recursive: true });
  await writeFile(path, content, { mode: 0o600, flag: "wx" });
}
