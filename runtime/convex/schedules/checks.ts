/** What every function of this room asks before it acts: a valid schedule, a sane text, a job of the caller's company. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { canonicalJson } from "../policy/configDiff.ts";
import { type PushSchedule, scheduleProblems } from "../policy/schedule.ts";
import { sha256Hex } from "../secrets/digest.ts";

/** Telegram shows 4096 characters, and a push is a prompt: longer ones are mistakes. */
const TEXT_UNITS_MAX = 4_096;
const TITLE_UNITS_MAX = 200;
const KEY_UNITS_MAX = 128;

/** @throws invalid_argument with every problem at once. */
export function requireSchedule(schedule: PushSchedule, timeZone: string): void {
  const problems = scheduleProblems(schedule, timeZone);
  if (problems.length > 0) throw new FactoryError("invalid_argument", problems.join("; "));
}

/** @throws invalid_argument for a blank or overlong title or text. */
export function requireWords(words: { title?: string | undefined; text?: string | undefined }): void {
  if (words.title !== undefined) requireLength("title", words.title, TITLE_UNITS_MAX);
  if (words.text !== undefined) requireLength("text", words.text, TEXT_UNITS_MAX);
}

/** @throws invalid_argument for a blank or overlong key or id. */
export function requireKey(field: string, value: string): void {
  requireLength(field, value, KEY_UNITS_MAX);
}

function requireLength(field: string, value: string, unitsMax: number): void {
  if (value.trim() === "" || value.length > unitsMax) {
    throw new FactoryError("invalid_argument", `${field} must have 1 to ${unitsMax} characters`);
  }
}

/**
 * What a request asked for, to be kept beside what it made: that may change since, and the same Idempotency-Key with
 * another question must still be told from a repetition.
 */
export async function digestOfRequest(asked: Record<string, unknown>): Promise<string> {
  return await sha256Hex(canonicalJson(asked));
}

/** The company's job. Another company's reads as one that does not exist. @throws not_found */
export async function requireJob(
  ctx: QueryCtx,
  companyId: string,
  jobId: Id<"pushJobs">,
): Promise<Doc<"pushJobs">> {
  const job = await ctx.db.get("pushJobs", jobId);
  if (job === null || job.companyId !== companyId)
    throw new FactoryError("not_found", `Push job '${jobId}' not found`);
  return job;
}

/** The company's template by its key. @throws not_found */
export async function requireTemplate(
  ctx: QueryCtx,
  companyId: string,
  templateKey: string,
): Promise<Doc<"pushTemplates">> {
  const template = await ctx.db
    .query("pushTemplates")
    .withIndex("by_company_key", (q) => q.eq("companyId", companyId).eq("templateKey", templateKey))
    .unique();
  if (template === null)
    throw new FactoryError("not_found", `Template '${templateKey}' not found for company`);
  return template;
}
