/** Markup that Telegram refuses; the message is its wording after "can't parse entities: ". */
export class EntityError extends Error {
  override name = "EntityError";
}

/** Telegram counts positions in its errors in UTF-8 bytes of the source. */
export function byteOffset(source: string, index: number): number {
  return Buffer.byteLength(source.slice(0, index), "utf8");
}
