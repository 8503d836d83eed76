import type { MessageEntity } from "../wire.ts";
import { byteOffset, EntityError } from "./entityError.ts";
import type { FormattedText } from "./formattedText.ts";

type OpenKind =
  | "Bold"
  | "Italic"
  | "Underline"
  | "Strikethrough"
  | "Spoiler"
  | "Code"
  | "Pre"
  | "PreCode"
  | "TextUrl"
  | "CustomEmoji"
  | "BlockQuote";

interface Open {
  kind: OpenKind;
  /** Where the entity starts in the text. */
  offset: number;
  /** Where its mark stands in the source. */
  start: number;
  language?: string;
}

const RESERVED = new Set("_*[]()~`>#+-=|{}.!");
const MARKS: Partial<Record<OpenKind, string>> = {
  Bold: "*",
  Italic: "_",
  Underline: "__",
  Strikethrough: "~",
  Spoiler: "||",
  Code: "`",
  Pre: "```",
  PreCode: "```",
  TextUrl: "]",
  CustomEmoji: "]",
};
const TYPES: Record<OpenKind, string> = {
  Bold: "bold",
  Italic: "italic",
  Underline: "underline",
  Strikethrough: "strikethrough",
  Spoiler: "spoiler",
  Code: "code",
  Pre: "pre",
  PreCode: "pre",
  TextUrl: "text_link",
  CustomEmoji: "custom_emoji",
  BlockQuote: "blockquote",
};
/** Longest first: "__" and "||" are read greedily from left to right. */
const OPENERS: readonly [mark: string, kind: OpenKind][] = [
  ["```", "Pre"],
  ["__", "Underline"],
  ["||", "Spoiler"],
  ["![", "CustomEmoji"],
  ["*", "Bold"],
  ["_", "Italic"],
  ["~", "Strikethrough"],
  ["`", "Code"],
  ["[", "TextUrl"],
];

/** Telegram's MarkdownV2: every reserved character is a mark or must be escaped with a backslash. */
export function parseMarkdownV2(source: string): FormattedText {
  const entities: MessageEntity[] = [];
  const open: Open[] = [];
  let text = "";
  let index = 0;

  const close = (entry: Open, extra: Partial<MessageEntity> = {}): void => {
    const length = text.length - entry.offset;
    const language = entry.language ? { language: entry.language } : {};
    if (length > 0)
      entities.push({ type: TYPES[entry.kind], offset: entry.offset, length, ...language, ...extra });
  };

  while (index < source.length) {
    const char = source[index] ?? "";
    const code = source.charCodeAt(index + 1);
    if (char === "\\" && code > 0 && code <= 126) {
      text += source[index + 1];
      index += 2;
      continue;
    }
    const top = open.at(-1);
    const literal = top?.kind === "Code" || top?.kind === "Pre" || top?.kind === "PreCode";
    if (top?.kind === "BlockQuote" && char === "\n" && source[index + 1] !== ">") {
      open.pop();
      close(top);
    }
    if (literal ? char !== "`" : !RESERVED.has(char)) {
      text += char;
      index++;
      continue;
    }
    if (char === ">" && isLineStart(source, index)) {
      if (!open.some((entry) => entry.kind === "BlockQuote")) {
        open.push({ kind: "BlockQuote", offset: text.length, start: index });
      }
      index++;
      continue;
    }
    const mark = top && MARKS[top.kind];
    if (
      top &&
      mark &&
      source.startsWith(mark, index) &&
      !(top.kind === "Italic" && source[index + 1] === "_")
    ) {
      open.pop();
      const target = readTarget(source, index + mark.length, top.kind);
      close(top, target.entity);
      index = target.end;
      continue;
    }
    if (literal) {
      // A single backtick inside of a block of code, or a block's mark inside of inline code.
      text += char;
      index++;
      continue;
    }
    const opener = OPENERS.find(([opening]) => source.startsWith(opening, index));
    if (!opener) {
      throw new EntityError(`Character '${char}' is reserved and must be escaped with the preceding '\\'`);
    }
    const entry: Open = { kind: opener[1], offset: text.length, start: index };
    index += opener[0].length;
    if (entry.kind === "Pre") index = readLanguage(source, index, entry);
    open.push(entry);
  }

  const top = open.at(-1);
  if (top?.kind === "BlockQuote") {
    open.pop();
    close(top);
  }
  const left = open.at(-1);
  if (left) {
    throw new EntityError(
      `Can't find end of ${left.kind} entity at byte offset ${byteOffset(source, left.start)}`,
    );
  }
  return { text, entities };
}

function isLineStart(source: string, index: number): boolean {
  return index === 0 || source[index - 1] === "\n";
}

/** A block's language is the rest of its first line, when that is one word. */
function readLanguage(source: string, index: number, entry: Open): number {
  const match = /^([^\s`]*)(\n?)/.exec(source.slice(index));
  const [whole = "", language = "", newline = ""] = match ?? [];
  if (language !== "" && (newline !== "" || /\s/.test(source[index + whole.length] ?? ""))) {
    entry.kind = "PreCode";
    entry.language = language;
    return index + whole.length;
  }
  return newline !== "" && language === "" ? index + 1 : index;
}

/** What follows the closing bracket of a link or a custom emoji. */
function readTarget(
  source: string,
  index: number,
  kind: OpenKind,
): { entity: Partial<MessageEntity>; end: number } {
  if (kind !== "TextUrl" && kind !== "CustomEmoji") return { entity: {}, end: index };
  if (source[index] !== "(") {
    if (kind === "CustomEmoji") throw new EntityError("Custom emoji entity must contain a tg://emoji URL");
    return { entity: {}, end: index };
  }
  let url = "";
  let at = index + 1;
  while (at < source.length && source[at] !== ")") {
    if (source[at] === "\\" && at + 1 < source.length) at++;
    url += source[at];
    at++;
  }
  if (at >= source.length) {
    const what = kind === "TextUrl" ? "a URL" : "a custom emoji URL";
    throw new EntityError(`Can't find end of ${what} at byte offset ${byteOffset(source, index)}`);
  }
  const entity =
    kind === "TextUrl"
      ? { url }
      : { custom_emoji_id: new URLSearchParams(url.split("?")[1] ?? "").get("id") ?? "" };
  return { entity, end: at + 1 };
}
