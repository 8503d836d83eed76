/**
 * The Markdown that language models write, to styled spans. Telegram knows no headings, lists or tables: they become
 * bold lines, bullets and monospaced text. Anything not understood stays as the words that were written.
 */
import { appendSpan, parseInline } from "./inline.ts";
import type { Block, Span } from "./spans.ts";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([A-Za-z0-9_+#.-]{0,32})[^`]*$/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const BULLET = /^(\s*)[-*+]\s+(?:\[([ xX])\]\s+)?(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;
const TABLE_ROW = /^\s*\|.*\|\s*$/;
const TABLE_RULE = /^\s*\|?[\s:|-]+\|[\s:|-]*$/;
/** Nested lists beyond this depth keep this indentation. */
const INDENT_MAX = 12;

/** Parses Markdown. The spans' texts, joined, are the message with its line breaks. */
export function parseMarkdown(markdown: string): Span[] {
  const lines = markdown.replaceAll("\r\n", "\n").replaceAll("\r", "\n").replaceAll("\u0000", "").split("\n");
  const spans: Span[] = [];
  let nextBlockId = 0;
  let paragraph: string[] = [];
  const newBlock = (): number => nextBlockId++;

  const plainBlock = (): Block => ({ kind: "paragraph", id: newBlock() });
  const emit = (block: Block, pieces: Span[]): void => {
    for (const piece of pieces) appendSpan(spans, piece.text, piece.style, block);
  };
  // Delimiters pair across the lines of one paragraph, as people expect of **bold over\ntwo lines**.
  const flushParagraph = (): void => {
    if (paragraph.length === 0) return;
    const block = plainBlock();
    emit(block, parseInline(`${paragraph.join("\n")}\n`, block));
    paragraph = [];
  };
  const line = (block: Block, text: string, bold = false): void =>
    emit(block, parseInline(`${text}\n`, block, bold ? { bold: true } : {}));

  let index = 0;
  while (index < lines.length) {
    const current = lines[index] as string;
    const fence = FENCE.exec(current);
    if (fence) {
      flushParagraph();
      const { body, next } = fencedBody(lines, index + 1, fence[1] as string);
      const block: Block = {
        kind: "pre",
        id: newBlock(),
        language: fence[2] ? fence[2].toLowerCase() : null,
      };
      appendSpan(spans, body, {}, block);
      appendSpan(spans, "\n", {}, plainBlock());
      index = next;
    } else if (TABLE_ROW.test(current) && TABLE_RULE.test(lines[index + 1] ?? "")) {
      flushParagraph();
      const { rows, next } = tableRows(lines, index);
      appendSpan(spans, layOutTable(rows), {}, { kind: "pre", id: newBlock(), language: null });
      appendSpan(spans, "\n", {}, plainBlock());
      index = next;
    } else if (QUOTE.test(current)) {
      flushParagraph();
      const quoted: string[] = [];
      while (index < lines.length && QUOTE.test(lines[index] as string)) {
        quoted.push(QUOTE.exec(lines[index] as string)?.[1] ?? "");
        index += 1;
      }
      const block: Block = { kind: "quote", id: newBlock() };
      emit(block, parseInline(quoted.join("\n"), block));
      appendSpan(spans, "\n", {}, plainBlock());
    } else {
      const structured = structuredLine(current);
      if (structured === null) {
        paragraph.push(current);
        if (current.trim() === "") flushParagraph();
      } else {
        flushParagraph();
        line(plainBlock(), structured.text, structured.bold);
      }
      index += 1;
    }
  }
  flushParagraph();
  return spans;
}

/** Headings, rules and bullets: lines that stand for themselves. */
function structuredLine(current: string): { text: string; bold: boolean } | null {
  if (RULE.test(current)) return { text: "———", bold: false };
  const heading = HEADING.exec(current);
  if (heading) return { text: heading[1] ?? "", bold: true };
  const bullet = BULLET.exec(current);
  if (bullet) {
    const indent = " ".repeat(Math.min(INDENT_MAX, (bullet[1] ?? "").length));
    const mark = bullet[2] === undefined ? "•" : bullet[2] === " " ? "☐" : "☑";
    return { text: `${indent}${mark} ${bullet[3] ?? ""}`, bold: false };
  }
  return null;
}

/** Lines up to the closing fence; a fence that never closes runs to the end. */
function fencedBody(lines: readonly string[], from: number, opener: string): { body: string; next: number } {
  const mark = opener[0] as string;
  let index = from;
  while (index < lines.length && !closesFence(lines[index] as string, mark, opener.length)) index += 1;
  return { body: lines.slice(from, index).join("\n"), next: index + 1 };
}

function closesFence(text: string, mark: string, length: number): boolean {
  const trimmed = text.trim();
  return trimmed.length >= length && trimmed === mark.repeat(trimmed.length);
}

function tableRows(lines: readonly string[], from: number): { rows: string[][]; next: number } {
  const rows: string[][] = [];
  let index = from;
  while (index < lines.length && TABLE_ROW.test(lines[index] as string)) {
    const text = lines[index] as string;
    if (!TABLE_RULE.test(text)) {
      rows.push(
        text
          .trim()
          .slice(1, -1)
          .split("|")
          .map((cell) => cell.trim().replace(/[*_`]{1,3}/g, "")),
      );
    }
    index += 1;
  }
  return { rows, next: index };
}

/** Columns wider than this are not padded: a phone shows about this many monospaced characters. */
const COLUMN_UNITS_MAX = 24;

function layOutTable(rows: readonly string[][]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.min(COLUMN_UNITS_MAX, Math.max(widths[column] ?? 0, cell.length));
    }
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
