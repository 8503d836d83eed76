/** Several messages that Telegram shows as one album become one message for the agent. */
import type { Attachment } from "../validators.ts";

/** One of an album's messages. */
export type AlbumPart = {
  messageId: number;
  text: string;
  /** false: `text` only describes the file. */
  isWritten: boolean;
  attachments: Attachment[];
};

/** Telegram's own limit for an album. */
export const ALBUM_PARTS_MAX = 10;

/**
 * How long the first part waits for the others, ms. Telegram's clients send an album as one, so that its updates come
 * within a fraction of this; a picture alone is not held.
 */
export const ALBUM_HOLD_MS = 1_500;

/** The parts with one more, or with its newer version: a part is told by its message id. */
export function withPart(parts: readonly AlbumPart[], part: AlbumPart): AlbumPart[] {
  return [...parts.filter(({ messageId }) => messageId !== part.messageId), part].sort(
    (one, other) => one.messageId - other.messageId,
  );
}

/** What the agent reads of them: the captions, or what there is to see; the files in the album's order. */
export function albumContent(parts: readonly AlbumPart[]): {
  messageText: string;
  attachments: Attachment[];
} {
  const written = parts.filter(({ isWritten }) => isWritten);
  const lines = (written.length > 0 ? written : parts).map(({ text }) => text);
  return {
    messageText: lines.join(written.length > 0 ? "\n" : " "),
    attachments: parts.flatMap(({ attachments }) => attachments),
  };
}
