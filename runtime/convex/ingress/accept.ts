/** A person's words into the queue: alone, or as parts of one album. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { conversationOfChat } from "../identity/chatConversations.ts";
import { ALBUM_HOLD_MS, ALBUM_PARTS_MAX, albumContent, type AlbumPart, withPart } from "../policy/album.ts";
import type { PersonMessage } from "../policy/telegramUpdate.ts";
import { amendWaiting, isWaiting } from "../queue/amend.ts";
import { enqueueMessage } from "../queue/enqueue.ts";
import type { Payload } from "../validators.ts";
import { findAlbum, partOf, saveAlbum } from "./albums.ts";
import { destinationOf, type Incoming } from "./incoming.ts";
import type { Routed } from "./routing.ts";
import { clipText } from "../policy/clipText.ts";

/** A message that has an agent. */
export type Accepted = Extract<Routed, { owner: unknown }>;

/** Where a person's messages come from, as the queue knows it. */
export const TELEGRAM_SOURCE = "telegram";

/** The message's name inside its conversation. */
export const externalIdOf = (message: PersonMessage): string =>
  `telegram:${message.chat.id}:${message.messageId}`;

/** Queues the message, or adds it to the album that it is a part of. */
export async function accept(ctx: MutationCtx, incoming: Incoming, routed: Accepted): Promise<void> {
  const conversationId = await conversationOfChat(ctx, routed.place);
  if (incoming.message.albumId === null) {
    const { attachments } = incoming.message;
    await enqueue(ctx, incoming, routed, conversationId, {
      messageText: incoming.addressed.text,
      attachments,
    });
    return;
  }
  await acceptPart(ctx, incoming, routed, conversationId);
}

/**
 * The first part opens a message and holds it for a moment; the others join while it waits, in whatever order they
 * come. A part that comes after the turn has begun is a message of its own, which later ones join. Each step is one
 * transaction with its update's deduplication: a crash between two parts loses none and doubles none.
 */
async function acceptPart(
  ctx: MutationCtx,
  incoming: Incoming,
  routed: Accepted,
  conversationId: string,
): Promise<void> {
  const album = await findAlbum(ctx, incoming);
  const part = partOf(incoming.message, incoming.addressed.text);
  const opened = album?.message === undefined ? null : await ctx.db.get("messageQueue", album.message);
  if (album !== null && opened !== null && joins(album.parts, opened, conversationId)) {
    const parts = withPart(album.parts, part);
    await amendWaiting(ctx, opened, { ...opened.payload, ...albumContent(parts) });
    await saveAlbum(ctx, incoming, { parts, message: opened._id });
    return;
  }
  // Parts that nobody was meant by have waited for this one; parts of a turn that has begun are in that turn.
  const parts = withPart(album === null || album.message !== undefined ? [] : album.parts, part);
  const message = await enqueue(ctx, incoming, routed, conversationId, {
    ...albumContent(parts),
    holdMs: ALBUM_HOLD_MS,
  });
  await saveAlbum(ctx, incoming, { parts, message });
}

const joins = (parts: readonly AlbumPart[], opened: Doc<"messageQueue">, conversationId: string): boolean =>
  isWaiting(opened) && opened.conversationId === conversationId && parts.length < ALBUM_PARTS_MAX;

async function enqueue(
  ctx: MutationCtx,
  incoming: Incoming,
  { routing, owner }: Accepted,
  conversationId: string,
  content: Pick<Payload, "messageText"> & {
    attachments: NonNullable<Payload["attachments"]>;
    holdMs?: number;
  },
): Promise<Doc<"messageQueue">["_id"]> {
  const { message } = incoming;
  const { messageText, attachments, holdMs } = content;
  const { messageId } = await enqueueMessage(ctx, {
    conversationId,
    agentKey: routing.agentKey,
    payload: {
      provider: "telegram",
      providerUserId: message.sender.id,
      messageText,
      externalMessageId: externalIdOf(message),
      metadata: metadataOf(message),
      ...(attachments.length === 0 ? {} : { attachments }),
    },
    destination: destinationOf(incoming),
    holdMs,
    source: TELEGRAM_SOURCE,
    consumerUserId: owner?.consumerUserId,
    companyId: owner?.companyId,
  });
  return messageId;
}

/** What the agent may want to know of the sender; in a group, who of its members speaks. */
function metadataOf(message: PersonMessage): Record<string, string> {
  return {
    senderName: message.sender.name,
    chatType: message.chat.isPrivate ? "private" : "group",
    ...(message.chat.title === null ? {} : { chatTitle: clipText(message.chat.title, 128) }),
    ...(message.sender.languageCode === null
      ? {}
      : { languageCode: clipText(message.sender.languageCode, 16) }),
  };
}
