/** What every function of this room asks before it acts: sound fields, a job of the caller's company. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { canonicalJson } from "../policy/configDiff.ts";
import { type PushFields, pushProblems } from "../policy/push.ts";
import { sha256Hex } from "../secrets/digest.ts";

/** @throws invalid_argument with every problem at once. */
export function requireSound(fields: PushFields): void {
  const problems = pushProblems(fields);
  if (problems.length > 0) throw new FactoryError("invalid_argument", problems.join("; "));
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
