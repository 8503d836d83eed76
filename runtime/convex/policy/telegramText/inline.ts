/**
 * Inline Markdown of one block to styled spans, in one pass over the characters and one over the delimiters, so
 * that hostile text costs no more than ordinary text of the same length.
 */
import type { Block, InlineStyle, Span } from "./spans.ts";

type DelimiterKind = "**" | "__" | "*" | "_" | "~~" | "||";
type Flag = "bold" | "italic" | "strike" | "spoiler";

const flagOf: Record<DelimiterKind, Flag> = {
  "**": "bold",
  __: "bold",
  "*": "italic",
  _: "italic",
  "~~": "strike",
  "||": "spoiler",
};

type Token =
  | { kind: "text"; text: string; style: InlineStyle }
  | {
      kind: "delimiter";
      delimiter: DelimiterKind;
      opens: boolean;
      closes: boolean;
      /** Decided by the second pass. */
      role: "open" | "close" | "literal";
    };

const ESCAPABLE = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;
/** Longest text and address of a link; beyond it the brackets are ordinary characters. */
const LINK_UNITS_MAX = 1_024;
const SAFE_URL = /^(?:https?:\/\/[^\s<>"]+|mailto:[^\s<>"]+|tg:\/\/[^\s<>"]+)$/i;

/** Delimiters of a run, by its character and length; null when the run is ordinary text. */
function splitRun(char: string, length: number, opens: boolean): DelimiterKind[] | null {
  if (char === "~" || char === "|") return length === 2 ? [`${char}${char}` as DelimiterKind] : null;
  const single = char as "*" | "_";
  const double = `${char}${char}` as "**" | "__";
  switch (length) {
    case 1:
      return [single];
    case 2:
      return [double];
    case 3:
      return opens ? [double, single] : [single, double];
    default:
      return null;
  }
}

/** Whether a run may open or close: it must touch a word on the inner side; `_` never works inside a word. */
function flanking(char: string, before: string, after: string): { opens: boolean; closes: boolean } {
  const spaceAfter = after === "" || /\s/.test(after);
  const spaceBefore = before === "" || /\s/.test(before);
  const intraword = char === "_";
  return {
    opens: !spaceAfter && !(intraword && WORD.test(before)),
    closes: !spaceBefore && !(intraword && WORD.test(after)),
  };
}

/** `[text](url)` or `![text](url)` at `at`; null when it is not one. */
function linkAt(text: string, at: number): { label: string; url: string; end: number } | null {
  const start = text[at] === "!" ? at + 1 : at;
  if (text[start] !== "[") return null;
  const window = text.slice(start + 1, start + 1 + LINK_UNITS_MAX);
  const close = window.indexOf("](");
  if (close < 1 || window.slice(0, close).includes("\n")) return null;
  const target = text.slice(start + 1 + close + 2, start + 1 + close + 2 + LINK_UNITS_MAX);
  const end = closingParenthesis(target);
  if (end === null) return null;
  const url = target.slice(0, end).trim().split(/\s/, 1)[0] ?? "";
  return { label: window.slice(0, close), url, end: start + 1 + close + 2 + end + 1 };
}

/** Index of the parenthesis that ends a link's address; balanced ones inside belong to it. */
function closingParenthesis(target: string): number | null {
  let depth = 0;
  for (let index = 0; index < target.length; index += 1) {
    const char = target[index];
    if (char === "\n") return null;
    if (char === "(") depth += 1;
    if (char === ")") {
      if (depth === 0) return index;
      depth -= 1;
    }
  }
  return null;
}

/** Splits a block's text into words and delimiters. */
function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let plain = "";
  const flush = (): void => {
    if (plain !== "") tokens.push({ kind: "text", text: plain, style: {} });
    plain = "";
  };
  // Once a run of n backticks has no partner to its right, no later run of n has one either.
  const backtickRunsWithoutPartner = new Set<number>();
  let index = 0;
  while (index < text.length) {
    const char = text[index] as string;
    if (char === "\\" && ESCAPABLE.test(text[index + 1] ?? "")) {
      plain += text[index + 1];
      index += 2;
    } else if (char === "`") {
      const length = runLength(text, index, "`");
      const end = backtickRunsWithoutPartner.has(length)
        ? -1
        : closingBackticks(text, index + length, length);
      if (end === -1) {
        backtickRunsWithoutPartner.add(length);
        plain += text.slice(index, index + length);
        index += length;
      } else {
        flush();
        tokens.push({ kind: "text", text: codeText(text.slice(index + length, end)), style: { code: true } });
        index = end + length;
      }
    } else if (char === "[" || (char === "!" && text[index + 1] === "[")) {
      const link = linkAt(text, index);
      if (link === null) {
        plain += char;
        index += 1;
      } else {
        flush();
        tokens.push(linkToken(link.label, link.url));
        index = link.end;
      }
    } else if (char === "<") {
      const end = text.slice(index, index + LINK_UNITS_MAX).indexOf(">");
      const url = end > 0 ? text.slice(index + 1, index + end) : "";
      if (SAFE_URL.test(url)) {
        flush();
        tokens.push({ kind: "text", text: url, style: { link: url } });
        index += end + 1;
      } else {
        plain += char;
        index += 1;
      }
    } else if (char === "*" || char === "_" || char === "~" || char === "|") {
      const length = runLength(text, index, char);
      const { opens, closes } = flanking(char, text[index - 1] ?? "", text[index + length] ?? "");
      const kinds = opens || closes ? splitRun(char, length, opens) : null;
      if (kinds === null) {
        plain += text.slice(index, index + length);
      } else {
        flush();
        for (const delimiter of kinds)
          tokens.push({ kind: "delimiter", delimiter, opens, closes, role: "literal" });
      }
      index += length;
    } else {
      plain += char;
      index += 1;
    }
  }
  flush();
  return tokens;
}

function runLength(text: string, at: number, char: string): number {
  let end = at;
  while (text[end] === char) end += 1;
  return end - at;
}

/** Start of the next run of exactly `length` backticks, -1 when there is none. */
function closingBackticks(text: string, from: number, length: number): number {
  let index = text.indexOf("`", from);
  while (index !== -1) {
    const found = runLength(text, index, "`");
    if (found === length) return index;
    index = text.indexOf("`", index + found);
  }
  return -1;
}

/** One space of padding belongs to the backticks, not to the code. */
function codeText(code: string): string {
  return code.length > 2 && code.startsWith(" ") && code.endsWith(" ") && code.trim() !== ""
    ? code.slice(1, -1)
    : code;
}

function linkToken(label: string, url: string): Token {
  const text = label.replace(/[*_`~]{1,3}/g, "").replace(/\\(.)/g, "$1") || url;
  if (SAFE_URL.test(url)) return { kind: "text", text, style: { link: url } };
  return { kind: "text", text: url === "" || url === text ? text : `${text} (${url})`, style: {} };
}

/**
 * Pairs delimiters: a closer takes the nearest opener of its kind; openers in between become ordinary text. Every
 * opener is pushed and popped once, hence linear.
 */
function pair(tokens: Token[]): void {
  const openers: Array<{ token: Token & { kind: "delimiter" }; index: number }> = [];
  const waiting: Record<DelimiterKind, number> = { "**": 0, __: 0, "*": 0, _: 0, "~~": 0, "||": 0 };
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== "delimiter") continue;
    if (token.closes && waiting[token.delimiter] > 0) {
      for (let top = openers.pop(); top; top = openers.pop()) {
        waiting[top.token.delimiter] -= 1;
        if (top.token.delimiter !== token.delimiter) continue;
        const empty = top.index === index - 1;
        top.token.role = empty ? "literal" : "open";
        token.role = empty ? "literal" : "close";
        break;
      }
    } else if (token.opens) {
      openers.push({ token, index });
      waiting[token.delimiter] += 1;
    }
  }
}

/** Parses the inline Markdown of one block. `base` is laid under every span (headings are bold). */
export function parseInline(text: string, block: Block, base: InlineStyle = {}): Span[] {
  const tokens = tokenize(text);
  pair(tokens);
  const active: Record<Flag, number> = { bold: 0, italic: 0, strike: 0, spoiler: 0 };
  const spans: Span[] = [];
  for (const token of tokens) {
    if (token.kind === "delimiter") {
      if (token.role === "literal") appendSpan(spans, token.delimiter, styleNow(active, base), block);
      else active[flagOf[token.delimiter]] += token.role === "open" ? 1 : -1;
    } else {
      appendSpan(spans, token.text, { ...styleNow(active, base), ...token.style }, block);
    }
  }
  return spans;
}

function styleNow(active: Record<Flag, number>, base: InlineStyle): InlineStyle {
  const style: InlineStyle = { ...base };
  for (const flag of ["bold", "italic", "strike", "spoiler"] as const)
    if (active[flag] > 0) style[flag] = true;
  return style;
}

function sameStyle(a: InlineStyle, b: InlineStyle): boolean {
  return (
    a.bold === b.bold &&
    a.italic === b.italic &&
    a.strike === b.strike &&
    a.spoiler === b.spoiler &&
    a.code === b.code &&
    a.link === b.link
  );
}

/** Adds text, joining it to the span before when nothing sets them apart. */
export function appendSpan(spans: Span[], text: string, style: InlineStyle, block: Block): void {
  if (text === "") return;
  const last = spans.at(-1);
  if (last && last.block.id === block.id && sameStyle(last.style, style)) last.text += text;
  else spans.push({ text, style, block });
}
