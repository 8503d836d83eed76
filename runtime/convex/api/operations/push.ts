/** Push templates, push jobs and broadcasts of the company. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import type { ActionCtx } from "../../_generated/server.js";
import type { Id } from "../../_generated/dataModel.js";
import type { Principal } from "../authorize.ts";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { consumerId, factoryId, scheduleShape, time } from "../shapes.ts";

const title = z.string().min(1).max(200);
const text = z.string().min(1).max(4_096);
const timeZone = z.string().min(1).max(64).describe("IANA zone, for example Europe/Rome");
const templateKey = z.string().min(1).max(128);
const jobParams = z.strictObject({ jobId: factoryId });
const templateParams = z.strictObject({ templateKey });
const created = z.object({ jobId: z.string(), nextRunAt: time.nullable() });
const outcome = z.enum(["enqueued", "skipped", "failed"]);

const scope = (principal: Principal) => ({ companyId: principal.companyId });
const acting = (principal: Principal) => ({ ...scope(principal), actor: `api:${principal.keyId}` });

async function ownJob(ctx: ActionCtx, principal: Principal, jobId: string): Promise<Id<"pushJobs">> {
  return await ctx.runQuery(internal.api.ids.ownPushJobId, { ...scope(principal), jobId });
}

const template = z.object({ templateKey, title, text, schedule: scheduleShape, enabled: z.boolean() });

export const pushOperations: readonly Operation[] = [
  operation({
    id: "listPushTemplates",
    method: "GET",
    path: "/push-templates",
    summary: "The company's templates.",
    scope: "push",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({ templates: z.array(template.extend({ templateId: z.string(), updatedAt: time })) }),
    run: async (ctx, principal) => ({
      templates: await ctx.runQuery(
        internal.schedules.templates.listPushTemplatesByCompany,
        scope(principal),
      ),
    }),
  }),
  operation({
    id: "createPushTemplate",
    method: "POST",
    path: "/push-templates",
    summary: "A text and its slots, to make jobs from.",
    scope: "push",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: z.strictObject({
      templateKey,
      title,
      text,
      schedule: scheduleShape,
      enabled: z.boolean().optional(),
    }),
    status: 201,
    response: z.object({ templateId: z.string() }),
    run: async (ctx, principal, { body }) =>
      await ctx.runMutation(internal.schedules.templates.createPushTemplate, {
        ...acting(principal),
        ...body,
      }),
  }),
  operation({
    id: "updatePushTemplate",
    method: "PATCH",
    path: "/push-templates/{templateKey}",
    summary: "Change a template; jobs made from it stay as they are.",
    scope: "push",
    wholeCompany: true,
    params: templateParams,
    query: noQuery,
    body: z.strictObject({
      title: title.optional(),
      text: text.optional(),
      schedule: scheduleShape.optional(),
      enabled: z.boolean().optional(),
    }),
    status: 200,
    response: z.object({ ok: z.literal(true) }),
    run: async (ctx, principal, { params, body }) => {
      await ctx.runMutation(internal.schedules.templates.updatePushTemplate, {
        ...acting(principal),
        ...params,
        ...body,
      });
      return { ok: true as const };
    },
  }),
  operation({
    id: "deletePushTemplate",
    method: "DELETE",
    path: "/push-templates/{templateKey}",
    summary: "Delete a template; jobs made from it go on.",
    scope: "push",
    wholeCompany: true,
    params: templateParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({ ok: z.literal(true) }),
    run: async (ctx, principal, { params }) => {
      await ctx.runMutation(internal.schedules.templates.deletePushTemplate, {
        ...acting(principal),
        ...params,
      });
      return { ok: true as const };
    },
  }),
  operation({
    id: "createPushJob",
    method: "POST",
    path: "/push-jobs",
    summary: "A scheduled message for one person: from a template, or with its own text and slots.",
    scope: "push",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: z.union([
      z.strictObject({
        userId: consumerId,
        templateKey,
        timeZone,
        schedule: scheduleShape.optional(),
        enabled: z.boolean().optional(),
      }),
      z.strictObject({
        userId: consumerId,
        title,
        text,
        schedule: scheduleShape,
        timeZone,
        enabled: z.boolean().optional(),
      }),
    ]),
    status: 201,
    response: created,
    run: async (ctx, principal, { body: { userId, ...job } }) => {
      const common = { ...acting(principal), consumerUserId: userId };
      return "templateKey" in job
        ? await ctx.runMutation(internal.schedules.jobs.createPushJobFromTemplate, { ...common, ...job })
        : await ctx.runMutation(internal.schedules.jobs.createPushJobCustom, { ...common, ...job });
    },
  }),
  operation({
    id: "listPushJobs",
    method: "GET",
    path: "/users/{userId}/push-jobs",
    summary: "A person's jobs.",
    scope: "push",
    wholeCompany: true,
    params: z.strictObject({ userId: consumerId }),
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({
      jobs: z.array(
        z.object({
          jobId: z.string(),
          title: z.string(),
          text: z.string(),
          schedule: scheduleShape,
          timeZone: z.string(),
          enabled: z.boolean(),
          nextRunAt: time.nullable(),
          lastRunAt: time.nullable(),
        }),
      ),
    }),
    run: async (ctx, principal, { params }) => ({
      jobs: await ctx.runQuery(internal.schedules.jobs.listPushJobsForUser, {
        ...scope(principal),
        consumerUserId: params.userId,
      }),
    }),
  }),
  operation({
    id: "updatePushJob",
    method: "PATCH",
    path: "/push-jobs/{jobId}",
    summary: "Change a job or switch it on or off.",
    scope: "push",
    wholeCompany: true,
    params: jobParams,
    query: noQuery,
    body: z.strictObject({
      title: title.optional(),
      text: text.optional(),
      schedule: scheduleShape.optional(),
      timeZone: timeZone.optional(),
      enabled: z.boolean().optional(),
    }),
    status: 200,
    response: created,
    run: async (ctx, principal, { params, body: { enabled, ...changes } }) => {
      const jobId = await ownJob(ctx, principal, params.jobId);
      const job = { ...acting(principal), jobId };
      const changed =
        enabled === undefined || Object.keys(changes).length > 0
          ? await ctx.runMutation(internal.schedules.jobs.updatePushJob, { ...job, ...changes })
          : null;
      if (enabled === undefined && changed !== null) return changed;
      return await ctx.runMutation(internal.schedules.jobs.setPushJobEnabled, {
        ...job,
        enabled: enabled ?? true,
      });
    },
  }),
  operation({
    id: "deletePushJob",
    method: "DELETE",
    path: "/push-jobs/{jobId}",
    summary: "Delete a job.",
    scope: "push",
    wholeCompany: true,
    params: jobParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({ ok: z.literal(true) }),
    run: async (ctx, principal, { params }) => {
      const jobId = await ownJob(ctx, principal, params.jobId);
      await ctx.runMutation(internal.schedules.jobs.deletePushJob, { ...acting(principal), jobId });
      return { ok: true as const };
    },
  }),
  operation({
    id: "triggerPushJob",
    method: "POST",
    path: "/push-jobs/{jobId}/trigger",
    summary: "Send a job's message now; its slots are untouched.",
    scope: "push",
    wholeCompany: true,
    params: jobParams,
    query: noQuery,
    body: noBody,
    status: 202,
    response: z.object({
      outcome: z.enum(["enqueued", "skipped", "failed", "not_due"]),
      reason: z.string().nullable(),
      messageId: z.string().nullable(),
    }),
    run: async (ctx, principal, { params }) => {
      const jobId = await ownJob(ctx, principal, params.jobId);
      return await ctx.runMutation(internal.schedules.dispatch.triggerPushJobNow, {
        ...acting(principal),
        jobId,
      });
    },
  }),
  operation({
    id: "listPushDispatches",
    method: "GET",
    path: "/push-jobs/{jobId}/dispatches",
    summary: "What became of a job's slots, latest first.",
    scope: "push",
    wholeCompany: true,
    params: jobParams,
    query: z.object({ limit: z.coerce.number().int().min(1).max(200).default(50) }),
    body: noBody,
    status: 200,
    response: z.object({
      dispatches: z.array(
        z.object({
          slotKey: z.string(),
          slotAt: time,
          dispatchedAt: time,
          outcome,
          reason: z.string().nullable(),
          messageId: z.string().nullable(),
        }),
      ),
    }),
    run: async (ctx, principal, { params, query }) => {
      const jobId = await ownJob(ctx, principal, params.jobId);
      const args = { ...scope(principal), jobId, ...query };
      return { dispatches: await ctx.runQuery(internal.schedules.jobs.listPushDispatchesByJob, args) };
    },
  }),
  operation({
    id: "sendBroadcast",
    method: "POST",
    path: "/broadcasts",
    summary: "One message to each of the company's people with an active binding.",
    scope: "broadcast",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: z.strictObject({ title, text }),
    status: 202,
    response: z.object({
      broadcastId: z.string(),
      totalTargets: z.number(),
      enqueued: z.number(),
      failed: z.number().describe("Not reachable or refused; getBroadcast says why"),
    }),
    run: async (ctx, principal, { body }) =>
      await ctx.runAction(internal.schedules.broadcast.sendBroadcastToAllActiveAgents, {
        ...scope(principal),
        ...body,
        requestedBy: `api:${principal.keyId}`,
      }),
  }),
  operation({
    id: "getBroadcast",
    method: "GET",
    path: "/broadcasts/{broadcastId}",
    summary: "Who got it and who did not, page by page.",
    scope: "broadcast",
    wholeCompany: true,
    params: z.strictObject({ broadcastId: factoryId }),
    query: z.object({ cursor: z.string().max(2_048).optional() }),
    body: noBody,
    status: 200,
    response: z.object({
      state: z.enum(["running", "done"]),
      totalTargets: z.number(),
      enqueued: z.number(),
      failed: z.number(),
      targets: z.array(
        z.object({
          userId: z.string(),
          outcome,
          reason: z.string().nullable(),
          messageId: z.string().nullable(),
        }),
      ),
      cursor: z.string().nullable(),
    }),
    run: async (ctx, principal, { params, query }) => {
      const broadcastId = await ctx.runQuery(internal.api.ids.ownBroadcastId, {
        ...scope(principal),
        ...params,
      });
      const { targets, ...report } = await ctx.runQuery(internal.schedules.broadcast.broadcastReport, {
        ...scope(principal),
        broadcastId,
        cursor: query.cursor ?? null,
      });
      return {
        ...report,
        targets: targets.map(({ consumerUserId: userId, ...rest }) => ({ userId, ...rest })),
      };
    },
  }),
];
