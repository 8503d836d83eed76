/**
 * An edited message: while it waits, the agent will read what it says now. Once its turn has begun the first words
 * were accepted and an answer to them stays an answer, so that the edit changes nothing; nor does it ever begin a turn
 * or run a command.
 */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { conversationSoFar } from "../identity/chatConversations.ts";
import { albumContent, withPart } from "../policy/album.ts";
import { amendWaiting, isWaiting } from "../queue/amend.ts";
import { findByExternalId } from "../queue/enqueue.ts";
import type { Payload } from "../validators.ts";
import { externalIdOf } from "./accept.ts";
import { findAlbum, partOf, saveAlbum } from "./albums.ts";
import type { Incoming } from "./incoming.ts";
import { routeIncoming } from "./routing.ts";

/** When the words that wait were edited, Telegram's seconds: of two edits that overtake each other the later holds. */
const EDITED_AT = "editedAt";

export type EditOutcome = { kind: "amended" } | { kind: "ignored"; reason: string };

/** Applies an edit. `first` tells whether the update is new; it is asked only when there is something to change. */
export async function receiveEdit(
  ctx: MutationCtx,
  incoming: Incoming,
  editedAt: number,
  first: () => Promise<boolean>,
): Promise<EditOutcome> {
  if (incoming.addressed.command !== null) return { kind: "ignored", reason: "an edit runs no command" };
  const edited = await findEdited(ctx, incoming);
  if (edited === null || !isWaiting(edited)) {
    return { kind: "ignored", reason: "edited message does not wait any more" };
  }
  if (editedAt < Number(edited.payload.metadata?.[EDITED_AT] ?? 0) || !(await first())) {
    return { kind: "ignored", reason: "edited again since" };
  }
  const metadata = { ...edited.payload.metadata, [EDITED_AT]: String(editedAt) };
  await amendWaiting(ctx, edited, {
    ...edited.payload,
    ...(await contentAfter(ctx, incoming)),
    metadata,
  });
  return { kind: "amended" };
}

async function findEdited(ctx: QueryCtx, incoming: Incoming): Promise<Doc<"messageQueue"> | null> {
  const album = await findAlbum(ctx, incoming);
  if (album !== null) {
    const isPart = album.parts.some(({ messageId }) => messageId === incoming.message.messageId);
    return album.message === undefined || !isPart ? null : await ctx.db.get("messageQueue", album.message);
  }
  const routed = await routeIncoming(ctx, incoming);
  if (!("place" in routed)) return null;
  const conversationId = await conversationSoFar(ctx, routed.place);
  return conversationId === null
    ? null
    : await findByExternalId(ctx, conversationId, externalIdOf(incoming.message));
}

async function contentAfter(
  ctx: MutationCtx,
  incoming: Incoming,
): Promise<Pick<Payload, "messageText" | "attachments">> {
  const { message, addressed } = incoming;
  const album = await findAlbum(ctx, incoming);
  if (album === null) {
    const { attachments } = message;
    return { messageText: addressed.text, attachments: attachments.length === 0 ? undefined : attachments };
  }
  const parts = withPart(album.parts, partOf(message, addressed.text));
  await saveAlbum(ctx, incoming, { parts, message: album.message });
  return albumContent(parts);
}
