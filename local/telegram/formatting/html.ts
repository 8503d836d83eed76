import type { MessageEntity } from "../wire.ts";
import { byteOffset, EntityError } from "./entityError.ts";
import type { FormattedText } from "./formattedText.ts";

const SIMPLE_TAGS: Readonly<Record<string, string>> = {
  b: "bold",
  strong: "bold",
  i: "italic",
  em: "italic",
  u: "underline",
  ins: "underline",
  s: "strikethrough",
  strike: "strikethrough",
  del: "strikethrough",
  "tg-spoiler": "spoiler",
  code: "code",
  pre: "pre",
};
const TAGS = new Set([...Object.keys(SIMPLE_TAGS), "a", "span", "tg-emoji", "blockquote"]);
const NAMED_CHARACTERS: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"' };

interface OpenTag {
  name: string;
  attributes: Record<string, string>;
  offset: number;
}

/** Telegram's HTML: a closed list of tags, four named characters, numeric ones; anything else in brackets is an error. */
export function parseHtml(source: string): FormattedText {
  const entities: MessageEntity[] = [];
  const open: OpenTag[] = [];
  let text = "";
  let index = 0;

  while (index < source.length) {
    const char = source[index];
    if (char === "&") {
      const decoded = decodeCharacter(source, index);
      text += decoded.text;
      index = decoded.end;
    } else if (char !== "<") {
      text += char;
      index++;
    } else if (source[index + 1] === "/") {
      index = closeTag(source, index, open, text, entities);
    } else {
      const tag = readStartTag(source, index);
      open.push({ name: tag.name, attributes: tag.attributes, offset: text.length });
      index = tag.end;
    }
  }
  const left = open.at(-1);
  if (left) throw new EntityError(`Can't find end tag corresponding to start tag "${left.name}"`);
  return { text, entities };
}

function decodeCharacter(source: string, index: number): { text: string; end: number } {
  const match = /&(?:#x([0-9a-f]{1,8})|#(\d{1,10})|([a-z]+));?/iy;
  match.lastIndex = index;
  const found = match.exec(source);
  const [whole, hex, decimal, name] = found ?? [];
  const code = hex ? Number.parseInt(hex, 16) : decimal ? Number(decimal) : undefined;
  if (code !== undefined && code > 0 && code <= 0x10_ff_ff) {
    if (code >= 0xd8_00 && code <= 0xdf_ff) {
      throw new EntityError(
        "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units",
      );
    }
    return { text: String.fromCodePoint(code), end: index + (whole ?? "").length };
  }
  const named = name && NAMED_CHARACTERS[name];
  // An unknown name is no error: the ampersand stands for itself.
  return named ? { text: named, end: index + (whole ?? "").length } : { text: "&", end: index + 1 };
}

function readStartTag(
  source: string,
  start: number,
): { name: string; attributes: Record<string, string>; end: number } {
  const at = `at byte offset ${byteOffset(source, start)}`;
  const name = /^[^\s>]*/.exec(source.slice(start + 1))?.[0].toLowerCase() ?? "";
  let index = start + 1 + name.length;
  if (index >= source.length) throw new EntityError(`Unclosed start tag ${at}`);
  if (!TAGS.has(name)) throw new EntityError(`Unsupported start tag "${name}" ${at}`);

  const attributes: Record<string, string> = {};
  for (;;) {
    index = skipSpace(source, index);
    if (source[index] === ">") return { name, attributes, end: index + 1 };
    if (index >= source.length) throw new EntityError(`Unclosed start tag ${at}`);
    const attribute = /^[^\s=>]*/.exec(source.slice(index))?.[0] ?? "";
    if (attribute === "") throw new EntityError(`Empty attribute name in the tag "${name}" ${at}`);
    index = skipSpace(source, index + attribute.length);
    if (source[index] !== "=") {
      if (name === "blockquote" && attribute.toLowerCase() === "expandable") {
        attributes.expandable = "";
        continue;
      }
      throw new EntityError(`Expected equal sign in declaration of an attribute of the tag "${name}" ${at}`);
    }
    const value = readAttributeValue(source, skipSpace(source, index + 1), name, at);
    attributes[attribute.toLowerCase()] = value.text;
    index = value.end;
  }
}

function readAttributeValue(
  source: string,
  start: number,
  tag: string,
  at: string,
): { text: string; end: number } {
  if (start >= source.length) throw new EntityError(`Unclosed start tag "${tag}" ${at}`);
  const quote = source[start];
  if (quote !== '"' && quote !== "'") {
    const bare = /^[A-Za-z0-9.-]*/.exec(source.slice(start))?.[0] ?? "";
    const end = start + bare.length;
    if (!/[\s>]/.test(source[end] ?? "")) {
      throw new EntityError(`Unexpected end of name token at byte offset ${byteOffset(source, start)}`);
    }
    return { text: bare.toLowerCase(), end };
  }
  let text = "";
  let index = start + 1;
  while (index < source.length && source[index] !== quote) {
    const decoded = source[index] === "&" ? decodeCharacter(source, index) : undefined;
    text += decoded?.text ?? source[index];
    index = decoded?.end ?? index + 1;
  }
  if (index >= source.length) throw new EntityError(`Unclosed start tag ${at}`);
  return { text, end: index + 1 };
}

function closeTag(
  source: string,
  start: number,
  open: OpenTag[],
  text: string,
  entities: MessageEntity[],
): number {
  const at = `at byte offset ${byteOffset(source, start)}`;
  const tag = open.pop();
  if (!tag) throw new EntityError(`Unexpected end tag ${at}`);
  const name = /^[^\s>]*/.exec(source.slice(start + 2))?.[0].toLowerCase() ?? "";
  const end = skipSpace(source, start + 2 + name.length);
  if (source[end] !== ">") throw new EntityError(`Unclosed end tag ${at}`);
  if (name !== "" && name !== tag.name) {
    throw new EntityError(`Unmatched end tag ${at}, expected "</${tag.name}>", found "</${name}>"`);
  }
  const length = text.length - tag.offset;
  if (length > 0) addEntity(tag, length, text, open, entities);
  return end + 1;
}

function addEntity(
  tag: OpenTag,
  length: number,
  text: string,
  open: OpenTag[],
  entities: MessageEntity[],
): void {
  const place = { offset: tag.offset, length };
  const simple = SIMPLE_TAGS[tag.name];
  const language = tag.attributes.class?.replace(/^language-/, "");
  if (tag.name === "pre") {
    // <pre><code class="language-x"> is one block: the inner entity gives its language and disappears.
    const inner = entities.findIndex(
      (e) => e.type === "code" && e.offset === tag.offset && e.length === length,
    );
    const [code] = inner >= 0 ? entities.splice(inner, 1) : [];
    entities.push({ type: "pre", ...place, ...(code?.language ? { language: code.language } : {}) });
  } else if (tag.name === "code") {
    const inPre = open.at(-1)?.name === "pre" && language !== undefined && language !== tag.attributes.class;
    entities.push({ type: "code", ...place, ...(inPre ? { language } : {}) });
  } else if (simple) {
    entities.push({ type: simple, ...place });
  } else if (tag.name === "a") {
    const url = tag.attributes.href ?? text.slice(tag.offset);
    // Telegram drops a link that leads nowhere and keeps its text.
    if (URL.canParse(url)) entities.push({ type: "text_link", ...place, url });
  } else if (tag.name === "tg-emoji") {
    entities.push({ type: "custom_emoji", ...place, custom_emoji_id: tag.attributes["emoji-id"] ?? "" });
  } else if (tag.name === "blockquote") {
    entities.push({
      type: "expandable" in tag.attributes ? "expandable_blockquote" : "blockquote",
      ...place,
    });
  } else if (tag.attributes.class === "tg-spoiler") {
    entities.push({ type: "spoiler", ...place });
  } else {
    throw new EntityError('Tag "span" must have class "tg-spoiler"');
  }
}

function skipSpace(source: string, index: number): number {
  let at = index;
  while (at < source.length && /\s/.test(source[at] ?? "")) at++;
  return at;
}
