import type { MessageEntity } from "../wire.ts";

/** What Telegram finds by itself in any text. Order matters: an earlier kind keeps its characters. */
const DETECTORS: readonly { type: string; pattern: RegExp }[] = [
  { type: "url", pattern: /\bhttps?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]}']/gi },
  { type: "email", pattern: /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g },
  { type: "bot_command", pattern: /(?<![\w/@])\/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/])/g },
  { type: "mention", pattern: /(?<![\w@])@[A-Za-z][A-Za-z0-9_]{3,31}\b/g },
  { type: "hashtag", pattern: /(?<![\w#])#[\p{L}_][\p{L}\p{N}_]*/gu },
];

/** Entities that are found rather than asked for, outside of code, links and each other. */
export function detectEntities(text: string, given: readonly MessageEntity[]): MessageEntity[] {
  const taken = given.filter((entity) => ["code", "pre", "text_link", "text_mention"].includes(entity.type));
  const found: MessageEntity[] = [];
  for (const { type, pattern } of DETECTORS) {
    for (const match of text.matchAll(pattern)) {
      const entity = { type, offset: match.index, length: match[0].length };
      if ([...taken, ...found].some((other) => overlaps(entity, other))) continue;
      found.push(entity);
    }
  }
  return found;
}

function overlaps(a: MessageEntity, b: MessageEntity): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
