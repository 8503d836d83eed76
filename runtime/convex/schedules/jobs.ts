/** Push jobs: one person's scheduled messages. Every function is scoped to a company. */
import { v } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, internalQuery, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { canonicalJson } from "../policy/configDiff.ts";
import { nextSlot } from "../policy/schedule.ts";
import { digestOfRequest, requireJob, requireSound, requireTemplate } from "./checks.ts";
import { vDispatchOutcome, vPushSchedule } from "./tables.ts";
import { given } from "./templates.ts";
import { armTimer } from "./timer.ts";

const LIST_MAX = 500;
const DISPATCHES_LISTED_MAX = 200;

const vCreated = v.object({ jobId: v.id("pushJobs"), nextRunAt: v.union(v.number(), v.null()) });
type Created = { jobId: Id<"pushJobs">; nextRunAt: number | null };

type NewJob = Pick<
  Doc<"pushJobs">,
  "companyId" | "consumerUserId" | "title" | "text" | "schedule" | "timeZone" | "enabled"
> & { templateId?: Id<"pushTemplates"> } & Partial<Keyed>;
/** What a request with an Idempotency-Key leaves on the job that it makes. */
type Keyed = { idempotencyKey: string; requestDigest: string };

async function createJob(ctx: MutationCtx, job: NewJob, actor: string): Promise<Created> {
  requireSound(job);
  const now = Date.now();
  const nextRunAt = nextOf(job, now);
  const jobId = await ctx.db.insert("pushJobs", {
    ...job,
    nextRunAt,
    createdAt: now,
    updatedAt: now,
  });
  await recordAudit(ctx, { actor, action: "push_job.create", target: jobId, outcome: "ok" });
  await armTimer(ctx, now);
  return { jobId, nextRunAt: nextRunAt ?? null };
}

type Repeatable = { companyId: string; idempotencyKey?: string | undefined } & Record<string, unknown>;

/**
 * Makes the job of a request, once per Idempotency-Key. The key is looked up before anything else is: what the request
 * needs, its template say, may be gone when it comes a second time.
 *
 * @throws conflict when the key has made a job for another request
 */
async function once(
  ctx: MutationCtx,
  { idempotencyKey, ...asked }: Repeatable,
  make: (keyed: Keyed | Record<string, never>) => Promise<Created>,
): Promise<Created> {
  if (idempotencyKey === undefined) return await make({});
  const { companyId } = asked;
  const requestDigest = await digestOfRequest(asked);
  const known = await ctx.db
    .query("pushJobs")
    .withIndex("by_company_key", (q) => q.eq("companyId", companyId).eq("idempotencyKey", idempotencyKey))
    .first();
  if (known === null) return await make({ idempotencyKey, requestDigest });
  if (known.requestDigest !== requestDigest) {
    throw new FactoryError("conflict", "This Idempotency-Key was used for another push job");
  }
  return { jobId: known._id, nextRunAt: known.nextRunAt ?? null };
}

export const createPushJobFromTemplate = internalMutation({
  args: {
    companyId: v.string(),
    templateKey: v.string(),
    consumerUserId: v.string(),
    timeZone: v.string(),
    /** Default: the template's. */
    schedule: v.optional(vPushSchedule),
    enabled: v.optional(v.boolean()),
    /** The same key of the same company names the same job: asking again makes no other. */
    idempotencyKey: v.optional(v.string()),
    actor: v.optional(v.string()),
  },
  returns: vCreated,
  handler: async (ctx, { actor = "operator", ...asked }) =>
    await once(ctx, asked, async (keyed) => {
      const { companyId, consumerUserId, timeZone, templateKey, enabled = true } = asked;
      const template = await requireTemplate(ctx, companyId, templateKey);
      if (!template.enabled) throw new FactoryError("conflict", `Template '${templateKey}' is disabled`);
      const { _id: templateId, title, text } = template;
      const schedule = asked.schedule ?? template.schedule;
      const job = { companyId, consumerUserId, templateId, title, text, schedule, timeZone, enabled };
      return await createJob(ctx, { ...job, ...keyed }, actor);
    }),
});

export const createPushJobCustom = internalMutation({
  args: {
    companyId: v.string(),
    consumerUserId: v.string(),
    title: v.string(),
    text: v.string(),
    schedule: vPushSchedule,
    timeZone: v.string(),
    enabled: v.optional(v.boolean()),
    /** The same key of the same company names the same job: asking again makes no other. */
    idempotencyKey: v.optional(v.string()),
    actor: v.optional(v.string()),
  },
  returns: vCreated,
  handler: async (ctx, { actor = "operator", ...asked }) =>
    await once(ctx, asked, async (keyed) => {
      const { idempotencyKey: _, enabled = true, ...job } = asked;
      return await createJob(ctx, { ...job, ...keyed, enabled }, actor);
    }),
});

async function changeJob(
  ctx: MutationCtx,
  job: Doc<"pushJobs">,
  changes: Partial<Pick<Doc<"pushJobs">, "title" | "text" | "schedule" | "timeZone" | "enabled">>,
  actor: string,
): Promise<Created> {
  const changed = { ...job, ...changes };
  requireSound(changed);
  const now = Date.now();
  const nextRunAt = timesOf(changed) === timesOf(job) ? job.nextRunAt : nextOf(changed, now);
  await ctx.db.patch("pushJobs", job._id, { ...changes, nextRunAt, updatedAt: now });
  await recordAudit(ctx, {
    actor,
    action: "push_job.update",
    target: job._id,
    outcome: "ok",
    detail: Object.keys(changes).join(", "),
  });
  await armTimer(ctx, now);
  return { jobId: job._id, nextRunAt: nextRunAt ?? null };
}

type Times = Pick<Doc<"pushJobs">, "schedule" | "timeZone" | "enabled">;

/** While this stays the same, a slot that is due stays due: its dispatch may be late, and it is owed. */
const timesOf = ({ schedule, timeZone, enabled }: Times): string =>
  canonicalJson([schedule, timeZone, enabled]);

/** Reckoned from now: a job that moves to an earlier hour of today must not fire for a slot already past. */
function nextOf({ schedule, timeZone, enabled }: Times, now: number): number | undefined {
  return enabled ? nextSlot(schedule, timeZone, now)?.at : undefined;
}

export const updatePushJob = internalMutation({
  args: {
    companyId: v.string(),
    jobId: v.id("pushJobs"),
    title: v.optional(v.string()),
    text: v.optional(v.string()),
    schedule: v.optional(vPushSchedule),
    timeZone: v.optional(v.string()),
    actor: v.optional(v.string()),
  },
  returns: vCreated,
  handler: async (ctx, { companyId, jobId, actor, ...changes }) =>
    await changeJob(ctx, await requireJob(ctx, companyId, jobId), given(changes), actor ?? "operator"),
});

export const setPushJobEnabled = internalMutation({
  args: {
    companyId: v.string(),
    jobId: v.id("pushJobs"),
    enabled: v.boolean(),
    actor: v.optional(v.string()),
  },
  returns: vCreated,
  handler: async (ctx, { companyId, jobId, enabled, actor }) =>
    await changeJob(ctx, await requireJob(ctx, companyId, jobId), { enabled }, actor ?? "operator"),
});

/** Its dispatches stay as audit until retention takes them. */
export const deletePushJob = internalMutation({
  args: { companyId: v.string(), jobId: v.id("pushJobs"), actor: v.optional(v.string()) },
  returns: v.null(),
  handler: async (ctx, { companyId, jobId, actor }) => {
    const job = await requireJob(ctx, companyId, jobId);
    await ctx.db.delete("pushJobs", job._id);
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "push_job.delete",
      target: jobId,
      outcome: "ok",
    });
    await armTimer(ctx, Date.now());
    return null;
  },
});

const vJob = v.object({
  jobId: v.id("pushJobs"),
  title: v.string(),
  text: v.string(),
  schedule: vPushSchedule,
  timeZone: v.string(),
  enabled: v.boolean(),
  nextRunAt: v.union(v.number(), v.null()),
  lastRunAt: v.union(v.number(), v.null()),
});

export const listPushJobsForUser = internalQuery({
  args: { companyId: v.string(), consumerUserId: v.string() },
  returns: v.array(vJob),
  handler: async (ctx, { companyId, consumerUserId }) => {
    const jobs = await ctx.db
      .query("pushJobs")
      .withIndex("by_person", (q) => q.eq("companyId", companyId).eq("consumerUserId", consumerUserId))
      .take(LIST_MAX);
    return jobs.map(({ _id, title, text, schedule, timeZone, enabled, nextRunAt, lastRunAt }) => ({
      jobId: _id,
      title,
      text,
      schedule,
      timeZone,
      enabled,
      nextRunAt: nextRunAt ?? null,
      lastRunAt: lastRunAt ?? null,
    }));
  },
});

/** Latest first. */
export const listPushDispatchesByJob = internalQuery({
  args: { companyId: v.string(), jobId: v.id("pushJobs"), limit: v.optional(v.number()) },
  returns: v.array(
    v.object({
      slotKey: v.string(),
      slotAt: v.number(),
      dispatchedAt: v.number(),
      outcome: vDispatchOutcome,
      reason: v.union(v.string(), v.null()),
      messageId: v.union(v.id("messageQueue"), v.null()),
    }),
  ),
  handler: async (ctx, { companyId, jobId, limit = 50 }) => {
    await requireJob(ctx, companyId, jobId);
    const dispatches = await ctx.db
      .query("pushDispatches")
      .withIndex("by_job_time", (q) => q.eq("jobId", jobId))
      .order("desc")
      .take(Math.min(DISPATCHES_LISTED_MAX, Math.max(1, Math.floor(limit))));
    return dispatches.map(({ slotKey, slotAt, dispatchedAt, outcome, reason, messageId }) => ({
      slotKey,
      slotAt,
      dispatchedAt,
      outcome,
      reason: reason ?? null,
      messageId: messageId ?? null,
    }));
  },
});
