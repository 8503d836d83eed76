/** Which files are pictures, by their first bytes, since a name or a type is only what somebody said; and which are shown. */
import type { TurnPicture } from "../agent/runTurn.ts";

type Signature = readonly [mimeType: string, offset: number, bytes: string];

/** What every provider with eyes accepts. */
const signatures: readonly Signature[] = [
  ["image/jpeg", 0, "\u00ff\u00d8\u00ff"],
  ["image/png", 0, "\u0089PNG\r\n\u001a\n"],
  ["image/gif", 0, "GIF8"],
  ["image/webp", 8, "WEBP"],
];

/** The MIME type of a picture that a model can be shown; null for everything else. */
export function pictureType(content: Buffer): string | null {
  const found = signatures.find(([, offset, bytes]) =>
    content.subarray(offset, offset + bytes.length).equals(Buffer.from(bytes, "latin1")),
  );
  return found?.[0] ?? null;
}

/** A provider that refuses a picture refuses it each time, and the message with it. */
const ATTEMPTS_WITH_PICTURES_MAX = 2;

/**
 * The pictures of one attempt: none for a model that cannot see, and none for the later attempts, which name the
 * file alone.
 */
export function shownPictures(
  pictures: readonly TurnPicture[],
  { modelSees, attempt }: { modelSees: boolean; attempt: number },
): readonly TurnPicture[] {
  return modelSees && attempt <= ATTEMPTS_WITH_PICTURES_MAX ? pictures : [];
}
