import type { MessageEntity } from "../wire.ts";
import { byteOffset, EntityError } from "./entityError.ts";
import type { FormattedText } from "./formattedText.ts";

const MARKS = new Set("_*`[");

/** Telegram's old Markdown: `*bold*`, `_italic_`, `` `code` ``, blocks and links; nothing nests. */
export function parseMarkdown(source: string): FormattedText {
  const entities: MessageEntity[] = [];
  let text = "";
  let index = 0;
  while (index < source.length) {
    const char = source[index] ?? "";
    if (char === "\\" && MARKS.has(source[index + 1] ?? "")) {
      text += source[index + 1];
      index += 2;
      continue;
    }
    if (!MARKS.has(char)) {
      text += char;
      index++;
      continue;
    }
    const mark = char === "[" ? "]" : source.startsWith("```", index) ? "```" : char;
    const from = index + mark.length;
    const end = source.indexOf(mark, from);
    if (end < 0) {
      throw new EntityError(
        `Can't find end of the entity starting at byte offset ${byteOffset(source, index)}`,
      );
    }
    const block = mark === "```" ? /^(?:([^\s`]+)\n|\n)?([\s\S]*)$/.exec(source.slice(from, end)) : undefined;
    const inner = block?.[2] ?? source.slice(from, end);
    const link = mark === "]" ? /^\(([^)]*)\)/.exec(source.slice(end + 1)) : undefined;
    const place = { offset: text.length, length: inner.length };
    if (inner !== "") {
      if (mark === "```")
        entities.push({ type: "pre", ...place, ...(block?.[1] ? { language: block[1] } : {}) });
      else if (mark === "]") entities.push(...(link ? [{ type: "text_link", ...place, url: link[1] }] : []));
      else entities.push({ type: mark === "*" ? "bold" : mark === "_" ? "italic" : "code", ...place });
    }
    text += inner;
    index = end + mark.length + (link?.[0].length ?? 0);
  }
  return { text, entities };
}
