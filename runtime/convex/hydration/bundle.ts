/** Everything that a worker needs for one turn, and nothing that it holds already. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { botSecretRefOf } from "../policy/botSecret.ts";
import { heldMessage } from "../queue/fence.ts";
import { readSecret } from "../secrets/read.ts";
import { currentSnapshotVersion, snapshotForRestore } from "../snapshots/read.ts";
import type { HydrationBundle, Profile } from "../validators.ts";
import { resolveBridge } from "./bridge.ts";
import { findAgent } from "../identity/findAgent.ts";
import { historyWindow } from "./history.ts";

type Holds = {
  profileRevision?: number | undefined;
  snapshotVersion?: number | undefined;
  historyThrough?: number | undefined;
};

/**
 * null unless the caller holds the message's lease. What `holds` names is left out: an unchanged profile, the
 * history up to a sequence number, the snapshot of that version.
 */
export async function hydrationBundle(
  ctx: QueryCtx,
  worker: Doc<"workers">,
  args: { messageId: Id<"messageQueue">; leaseId: string; holds?: Holds | undefined },
): Promise<HydrationBundle | null> {
  const now = Date.now();
  const message = await heldMessage(ctx, worker, args, now);
  if (message === null) return null;
  const agent = await findAgent(ctx, message.agentKey);
  const conversation = await ctx.db.get("conversations", message.conversation);
  if (agent === null || conversation === null) return null;
  const { config } = await readRuntimeConfig(ctx);
  const holds = args.holds ?? {};
  const botSecretRef = botSecretRefOf(message.destination, agent);
  const snapshotVersion = await currentSnapshotVersion(ctx, message.conversation);
  const restore = snapshotVersion !== null && holds.snapshotVersion !== snapshotVersion;
  return {
    messageId: message._id,
    conversationId: message.conversationId,
    agentKey: message.agentKey,
    payload: message.payload,
    destination: message.destination,
    // What has to be restored is set up anew, profile and all.
    profile: holds.profileRevision === agent.revision && !restore ? null : profileOf(agent),
    profileRevision: agent.revision,
    history: await historyWindow(
      ctx,
      message.conversation,
      config.hydration,
      holds.historyThrough ?? -1,
      now,
    ),
    historyThrough: conversation.nextHistorySeq - 1,
    pendingToolCalls: await pendingToolCalls(ctx, message.conversation),
    telegramBotToken: botSecretRef === null ? null : await readSecret(ctx, botSecretRef),
    telegramApiUrl: config.telegram.apiUrl,
    typingIndicator: config.turn.typingIndicator,
    previewIntervalMs: message.destination?.kind === "telegram" ? config.turn.previewIntervalMs : null,
    bridgeRuntimeConfig: await resolveBridge(ctx, agent),
    attachments: await attachments(ctx, message),
    snapshotVersion,
    snapshot: restore ? await snapshotForRestore(ctx, message.conversation) : null,
  };
}

function profileOf(agent: Doc<"agentProfiles">): Profile {
  return {
    agentKey: agent.agentKey,
    version: agent.version,
    revision: agent.revision,
    soulMd: agent.soulMd,
    ...(agent.clientMd === undefined ? {} : { clientMd: agent.clientMd }),
    skills: agent.skills,
    toolPolicy: agent.toolPolicy,
    bridgeFunctions: agent.bridgeFunctions,
  };
}

async function pendingToolCalls(
  ctx: QueryCtx,
  conversation: Id<"conversations">,
): Promise<HydrationBundle["pendingToolCalls"]> {
  const row = await ctx.db
    .query("pendingToolCalls")
    .withIndex("by_conversation", (q) => q.eq("conversation", conversation))
    .first();
  return row?.calls ?? [];
}

async function attachments(
  ctx: QueryCtx,
  message: Doc<"messageQueue">,
): Promise<HydrationBundle["attachments"]> {
  const resolved: HydrationBundle["attachments"] = [];
  for (const { storageId, ...attachment } of message.payload.attachments ?? []) {
    const id = storageId === undefined ? null : ctx.db.system.normalizeId("_storage", storageId);
    resolved.push({ ...attachment, url: id === null ? null : await ctx.storage.getUrl(id) });
  }
  return resolved;
}
