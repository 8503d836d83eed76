/** Which conversation a worker serves next: the first of an index range, never a scan. */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { compareOrder } from "../policy/order.ts";
import { CANARY_AGENTS_MAX, type RuntimeConfig } from "../policy/runtimeConfig.ts";

type Head = Doc<"conversationHeads">;

/** `any`, or one index entry read per agent. */
export type ClaimScope = { kind: "any" } | { kind: "agents"; agentKeys: string[] };

/** Agents that one claim may be limited to: each costs a document. The config holds a canary to the same. */
export const AGENT_KEYS_MAX = CANARY_AGENTS_MAX;

/** What this worker may take: the caller's own wish, the canary's agents, its owner while it is dedicated. */
export function claimScope(
  worker: Pick<Doc<"workers">, "canary" | "dedicatedTo" | "load">,
  config: RuntimeConfig,
  asked: string[] | undefined,
): ClaimScope {
  if (asked !== undefined && asked.length > AGENT_KEYS_MAX) {
    throw new FactoryError(
      "invalid_argument",
      `agentKeys names ${asked.length} agents, the limit is ${AGENT_KEYS_MAX}`,
    );
  }
  const limits: string[][] = [];
  if (asked !== undefined) limits.push(asked);
  if (worker.canary && config.rollout.canaryAgentKeys.length > 0) limits.push(config.rollout.canaryAgentKeys);
  if (config.turn.dedication === "agent" && worker.load > 0 && worker.dedicatedTo !== undefined) {
    limits.push([worker.dedicatedTo]);
  }
  const [first, ...others] = limits;
  if (first === undefined) return { kind: "any" };
  const agentKeys = first.filter((key) => others.every((keys) => keys.includes(key)));
  return { kind: "agents", agentKeys: [...new Set(agentKeys)].slice(0, AGENT_KEYS_MAX) };
}

/**
 * The first ready head in order: priority desc, due time asc, creation asc.
 *
 * One exception, bounded by wakeGraceMs: when that head's files are with another worker, which has just been
 * woken for it, and a head of the same priority has its files here, this worker takes its own. Two workers
 * woken for one conversation each then do not swap them.
 */
export async function pickHead(
  ctx: QueryCtx,
  scope: ClaimScope,
  workerId: string,
  config: RuntimeConfig,
  now: number,
): Promise<Head | null> {
  const first = await firstReady(ctx, scope);
  if (first === null || first.preferredWorkerId === undefined || first.preferredWorkerId === workerId) {
    return first;
  }
  if (first.dueAt + config.queue.wakeGraceMs <= now) return first;
  const own = await ctx.db
    .query("conversationHeads")
    .withIndex("by_preference", (q) =>
      q.eq("state", "ready").eq("preferredWorkerId", workerId).eq("rank", first.rank),
    )
    .first();
  const inScope = own !== null && (scope.kind === "any" || scope.agentKeys.includes(own.agentKey));
  return inScope ? own : first;
}

async function firstReady(ctx: QueryCtx, scope: ClaimScope): Promise<Head | null> {
  if (scope.kind === "any") {
    return await ctx.db
      .query("conversationHeads")
      .withIndex("by_order", (q) => q.eq("state", "ready"))
      .first();
  }
  let best: Head | null = null;
  for (const agentKey of scope.agentKeys) {
    const head = await ctx.db
      .query("conversationHeads")
      .withIndex("by_agent_order", (q) => q.eq("state", "ready").eq("agentKey", agentKey))
      .first();
    if (head !== null && (best === null || compareOrder(head, best) < 0)) best = head;
  }
  return best;
}
