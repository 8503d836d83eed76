/** Agent profiles: what an agent is, apart from its model and keys, which are infrastructure. */
import { v } from "convex/values";
import { internalMutation, internalQuery, type MutationCtx } from "../_generated/server.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { checkProfile, completeSecretRefs } from "../policy/profile.ts";
import { vBridgeConfig, vBridgeFunction, vToolPolicy } from "../validators.ts";
import { findAgent } from "../identity/findAgent.ts";

const profileArgs = {
  agentKey: v.string(),
  /** The operator's own label, for example `2026-11-22`. */
  version: v.string(),
  soulMd: v.string(),
  clientMd: v.optional(v.string()),
  skills: v.array(v.string()),
  secretsRef: v.array(v.string()),
  bridgeConfig: v.optional(vBridgeConfig),
  bridgeFunctions: v.optional(v.array(vBridgeFunction)),
  toolPolicy: v.optional(vToolPolicy),
  enabled: v.boolean(),
  providerUserId: v.optional(v.string()),
};

type ProfileFields = Omit<Doc<"agentProfiles">, "_id" | "_creationTime" | "revision" | "updatedAt">;

async function upsert(ctx: MutationCtx, fields: ProfileFields, actor: string): Promise<Id<"agentProfiles">> {
  const problem = checkProfile(fields);
  if (problem !== null) throw new FactoryError("invalid_argument", problem);
  const existing = await findAgent(ctx, fields.agentKey);
  const row = { ...fields, revision: (existing?.revision ?? 0) + 1, updatedAt: Date.now() };
  let id: Id<"agentProfiles">;
  if (existing === null) {
    id = await ctx.db.insert("agentProfiles", row);
  } else {
    id = existing._id;
    await ctx.db.replace("agentProfiles", id, row);
  }
  await recordAudit(ctx, {
    actor,
    action: "agent.configure",
    target: fields.agentKey,
    outcome: "ok",
    detail: `revision ${row.revision}, ${fields.enabled ? "enabled" : "disabled"}`,
  });
  return id;
}

/** `factory:configureAgent` (spec D): creates or replaces the profile of an agent. */
export const configureAgent = internalMutation({
  args: { ...profileArgs, actor: v.optional(v.string()) },
  returns: v.id("agentProfiles"),
  handler: async (ctx, { actor, ...profile }): Promise<Id<"agentProfiles">> => {
    const secretsRef = completeSecretRefs(profile.secretsRef, profile.bridgeConfig);
    const fields = {
      ...profile,
      secretsRef,
      bridgeFunctions: profile.bridgeFunctions ?? [],
      toolPolicy: profile.toolPolicy ?? { allow: [] },
    };
    return await upsert(ctx, fields, actor ?? "operator");
  },
});

const DEFAULT_SOUL = [
  "# Who you are",
  "",
  "You are a helpful assistant who answers people in a chat.",
  "Answer in the language of the person. Be brief, friendly and exact, and say so when you do not know.",
].join("\n");

/** `factory:seedDefaultAgent`: the agent `default`, unless there is one already. */
export const seedDefaultAgent = internalMutation({
  args: { agentKey: v.optional(v.string()), actor: v.optional(v.string()) },
  returns: v.object({ agentKey: v.string(), created: v.boolean() }),
  handler: async (ctx, args): Promise<{ agentKey: string; created: boolean }> => {
    const agentKey = args.agentKey ?? "default";
    if ((await findAgent(ctx, agentKey)) !== null) return { agentKey, created: false };
    const fields = {
      agentKey,
      version: "1",
      soulMd: DEFAULT_SOUL,
      skills: [],
      secretsRef: completeSecretRefs([`telegram.botToken.${agentKey}`], undefined),
      bridgeFunctions: [],
      toolPolicy: { allow: [] },
      enabled: true,
    };
    await upsert(ctx, fields, args.actor ?? "operator");
    return { agentKey, created: true };
  },
});

const AGENTS_MAX = 500;

/** `factory:listAgents`, for people: keys and state, without the texts. */
export const listAgents = internalQuery({
  args: {},
  returns: v.array(
    v.object({ agentKey: v.string(), version: v.string(), revision: v.number(), enabled: v.boolean() }),
  ),
  handler: async (ctx) => {
    const rows = await ctx.db.query("agentProfiles").withIndex("by_agent_key").take(AGENTS_MAX);
    return rows.map(({ agentKey, version, revision, enabled }) => ({ agentKey, version, revision, enabled }));
  },
});
