/** What is known of an album so far: its parts arrive as updates of their own. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { ALBUM_PARTS_MAX, type AlbumPart, withPart } from "../policy/album.ts";
import type { PersonMessage } from "../policy/telegramUpdate.ts";
import type { Incoming } from "./incoming.ts";

type Album = Pick<Doc<"telegramAlbums">, "parts" | "message">;
/** Whose album: enough of an incoming message to find it. */
type AlbumOf = Pick<Incoming, "bot" | "message" | "now">;

/** The message as a part; `text` is what it says without the bot's name. */
export function partOf(message: PersonMessage, text: string): AlbumPart {
  const { messageId, isWritten, attachments } = message;
  return { messageId, text, isWritten, attachments };
}

export async function findAlbum(
  ctx: QueryCtx,
  { bot, message }: AlbumOf,
): Promise<Doc<"telegramAlbums"> | null> {
  const { albumId } = message;
  if (albumId === null) return null;
  return await ctx.db
    .query("telegramAlbums")
    .withIndex("by_album", (q) =>
      q.eq("botId", bot.botId).eq("chatId", message.chat.id).eq("albumId", albumId),
    )
    .unique();
}

export async function saveAlbum(ctx: MutationCtx, of: AlbumOf, album: Album): Promise<void> {
  const known = await findAlbum(ctx, of);
  const { bot, message, now } = of;
  if (known !== null) await ctx.db.patch("telegramAlbums", known._id, album);
  else if (message.albumId !== null) {
    const place = { botId: bot.botId, chatId: message.chat.id, albumId: message.albumId };
    await ctx.db.insert("telegramAlbums", { ...place, ...album, openedAt: now });
  }
}

/** Message in which the agent reads the album; null until a part was meant for the bot. */
export async function messageOfAlbum(ctx: QueryCtx, of: AlbumOf): Promise<Id<"messageQueue"> | null> {
  return (await findAlbum(ctx, of))?.message ?? null;
}

/**
 * In a group only one part carries the caption that names the bot, and it need not come first: the others are kept
 * until it does.
 */
export async function keepPart(ctx: MutationCtx, of: AlbumOf): Promise<void> {
  const known = await findAlbum(ctx, of);
  const parts = withPart(known?.parts ?? [], partOf(of.message, of.message.text));
  if (parts.length <= ALBUM_PARTS_MAX) await saveAlbum(ctx, of, { parts });
}
