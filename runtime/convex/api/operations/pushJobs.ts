/** Push jobs of the company's people. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import type { Id } from "../../_generated/dataModel.js";
import type { ActionCtx } from "../../_generated/server.js";
import type { Principal } from "../authorize.ts";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { acting, companyOf } from "../principal.ts";
import {
  consumerId,
  dispatchOutcome,
  factoryId,
  pushText,
  pushTitle,
  scheduleShape,
  templateKey,
  time,
  timeZone,
} from "../shapes.ts";

const jobParams = z.strictObject({ jobId: factoryId });
const created = z.object({ jobId: z.string(), nextRunAt: time.nullable() });

async function ownJob(ctx: ActionCtx, principal: Principal, jobId: string): Promise<Id<"pushJobs">> {
  return await ctx.runQuery(internal.api.ids.ownPushJobId, { ...companyOf(principal), jobId });
}

export const pushJobOperations: readonly Operation[] = [
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
        title: pushTitle,
        text: pushText,
        schedule: scheduleShape,
        timeZone,
        enabled: z.boolean().optional(),
      }),
    ]),
    status: 201,
    response: created,
    idempotent: "The same key makes one job, however often it is sent",
    run: async (ctx, principal, { body: { userId, ...job }, idempotencyKey }) => {
      const common = {
        ...acting(principal),
        ...(idempotencyKey === null ? {} : { idempotencyKey }),
        consumerUserId: userId,
      };
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
        ...companyOf(principal),
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
      title: pushTitle.optional(),
      text: pushText.optional(),
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
      outcome: dispatchOutcome,
      reason: z.string().nullable(),
      messageId: z.string().nullable(),
    }),
    idempotent: "The same key for the same job sends one message, however often it is sent",
    run: async (ctx, principal, { params, idempotencyKey }) => {
      const jobId = await ownJob(ctx, principal, params.jobId);
      return await ctx.runMutation(internal.schedules.dispatch.triggerPushJobNow, {
        ...acting(principal),
        ...(idempotencyKey === null ? {} : { idempotencyKey }),
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
          outcome: dispatchOutcome,
          reason: z.string().nullable(),
          messageId: z.string().nullable(),
        }),
      ),
    }),
    run: async (ctx, principal, { params, query }) => {
      const jobId = await ownJob(ctx, principal, params.jobId);
      const args = { ...companyOf(principal), jobId, ...query };
      return { dispatches: await ctx.runQuery(internal.schedules.jobs.listPushDispatchesByJob, args) };
    },
  }),
];
