/**
 * Texts that Convex stores. It refuses a write whose text holds half of a surrogate pair ("Received invalid json"), which
 * is what a plain `slice` leaves of an emoji at its end: a name, an error or an answer would then fail its transaction,
 * and fail it again at every repetition.
 */

/** Half of a pair alone: with `u`, whole pairs are characters of their own. */
const HALF_PAIR = /\p{Surrogate}/gu;

/** The text as Unicode: each half of a pair becomes the replacement character. */
export function wellFormed(text: string): string {
  return text.replace(HALF_PAIR, "\ufffd");
}

/** The text's first `unitsMax` UTF-16 units, less half of a pair; whatever it came as, it is Unicode afterwards. */
export function clipText(text: string, unitsMax: number): string {
  if (text.length <= unitsMax) return wellFormed(text);
  const last = text.charCodeAt(unitsMax - 1);
  const cutsPair = last >= 0xd800 && last <= 0xdbff;
  return wellFormed(text.slice(0, cutsPair ? unitsMax - 1 : unitsMax));
}
