/** Broadcasts to the company's people. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { actorOf, companyOf } from "../principal.ts";
import { deliveryState, dispatchOutcome, factoryId, messageStatus, pushText, pushTitle } from "../shapes.ts";

/** A caller waits this long for final counts at most; a larger broadcast goes on without them. */
const PATIENCE_MS = 8_000;

export const broadcastOperations: readonly Operation[] = [
  operation({
    id: "sendBroadcast",
    method: "POST",
    path: "/broadcasts",
    summary: "One message to each of the company's people with an active binding.",
    scope: "broadcast",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: z.strictObject({ title: pushTitle, text: pushText }),
    status: 202,
    response: z.object({
      broadcastId: z.string(),
      totalTargets: z.number(),
      enqueued: z.number(),
      failed: z.number().describe("Not reachable or refused; getBroadcast says why"),
    }),
    idempotent:
      "The same key starts one broadcast, however often it is sent; sent again, it tells its counts",
    run: async (ctx, principal, { body, idempotencyKey }) =>
      await ctx.runAction(internal.schedules.broadcast.sendBroadcastToAllActiveAgents, {
        ...companyOf(principal),
        ...(idempotencyKey === null ? {} : { idempotencyKey }),
        ...body,
        requestedBy: actorOf(principal),
        patienceMs: PATIENCE_MS,
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
          outcome: dispatchOutcome,
          reason: z.string().nullable(),
          messageId: z.string().nullable(),
          status: messageStatus
            .nullable()
            .describe("Of the message; null when it is not (or no longer) there"),
          delivery: deliveryState.describe("How far the agent's answer got in the person's chat"),
        }),
      ),
      cursor: z.string().nullable(),
    }),
    run: async (ctx, principal, { params, query }) => {
      const broadcastId = await ctx.runQuery(internal.api.ids.ownBroadcastId, {
        ...companyOf(principal),
        ...params,
      });
      const { targets, ...report } = await ctx.runQuery(internal.schedules.broadcastReport.broadcastReport, {
        ...companyOf(principal),
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
