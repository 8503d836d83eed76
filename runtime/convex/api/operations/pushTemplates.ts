/** Push templates of the company. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { acting, companyOf } from "../principal.ts";
import { pushText, pushTitle, scheduleShape, templateKey, time } from "../shapes.ts";

const templateParams = z.strictObject({ templateKey });
const template = z.object({
  templateKey,
  title: pushTitle,
  text: pushText,
  schedule: scheduleShape,
  enabled: z.boolean(),
});

export const pushTemplateOperations: readonly Operation[] = [
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
        companyOf(principal),
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
      title: pushTitle,
      text: pushText,
      schedule: scheduleShape,
      enabled: z.boolean().optional(),
    }),
    status: 201,
    response: z.object({ templateId: z.string() }),
    idempotent: "The same key for the same template makes it once, however often it is sent",
    run: async (ctx, principal, { body, idempotencyKey }) =>
      await ctx.runMutation(internal.schedules.templates.createPushTemplate, {
        ...acting(principal),
        ...(idempotencyKey === null ? {} : { idempotencyKey }),
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
      title: pushTitle.optional(),
      text: pushText.optional(),
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
];
