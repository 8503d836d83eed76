/**
 * Styled text as a flat list: the form between Markdown and Telegram's HTML. Every span carries its whole style,
 * so that a text can be cut between any two characters and each piece still renders to well-formed HTML.
 */

export type InlineStyle = {
  bold?: true;
  italic?: true;
  strike?: true;
  spoiler?: true;
  code?: true;
  /** Absolute http, https, mailto or tg URL. */
  link?: string;
};

/** Blocks that Telegram draws around whole lines. Spans of one block share its number. */
export type Block =
  | { kind: "paragraph"; id: number }
  | { kind: "quote"; id: number }
  | { kind: "pre"; id: number; language: string | null };

export type Span = { text: string; style: InlineStyle; block: Block };

/** Escapes what Telegram's HTML parser would read as markup; quotes only matter inside attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function escapeAttribute(text: string): string {
  return escapeHtml(text).replaceAll('"', "&quot;");
}

/** Opening and closing tags of a style, outermost first. Telegram allows nothing inside code. */
function inlineTags(style: InlineStyle): { open: string; close: string } {
  const tags: Array<[string, string]> = [];
  if (style.link !== undefined) tags.push([`<a href="${escapeAttribute(style.link)}">`, "</a>"]);
  if (style.code) {
    tags.push(["<code>", "</code>"]);
  } else {
    if (style.bold) tags.push(["<b>", "</b>"]);
    if (style.italic) tags.push(["<i>", "</i>"]);
    if (style.strike) tags.push(["<s>", "</s>"]);
    if (style.spoiler) tags.push(["<tg-spoiler>", "</tg-spoiler>"]);
  }
  return {
    open: tags.map(([open]) => open).join(""),
    close: tags
      .map(([, close]) => close)
      .reverse()
      .join(""),
  };
}

function blockTags(block: Block): { open: string; close: string } {
  switch (block.kind) {
    case "paragraph":
      return { open: "", close: "" };
    case "quote":
      return { open: "<blockquote>", close: "</blockquote>" };
    case "pre":
      return block.language === null
        ? { open: "<pre>", close: "</pre>" }
        : {
            open: `<pre><code class="language-${escapeAttribute(block.language)}">`,
            close: "</code></pre>",
          };
  }
}

function renderInline(span: Span): string {
  if (span.block.kind === "pre") return escapeHtml(span.text);
  const { open, close } = inlineTags(span.style);
  return open + escapeHtml(span.text) + close;
}

/** Renders spans to Telegram HTML. Every tag that is opened is closed, in the right order. */
export function renderHtml(spans: readonly Span[]): string {
  let html = "";
  let current: Block | null = null;
  for (const span of spans) {
    if (current === null || current.id !== span.block.id) {
      if (current !== null) html += blockTags(current).close;
      current = span.block;
      html += blockTags(current).open;
    }
    html += renderInline(span);
  }
  return current === null ? html : html + blockTags(current).close;
}

/** The words alone; the address of a link follows its text unless it is the text. */
export function renderPlain(spans: readonly Span[]): string {
  return spans
    .map(({ text, style }) =>
      style.link === undefined || style.link === text ? text : `${text} (${style.link})`,
    )
    .join("");
}

/** Upper bound of the UTF-16 units of the tags that rendering adds around one span. */
export function tagUnits(span: Span): number {
  const block = blockTags(span.block);
  if (span.block.kind === "pre") return block.open.length + block.close.length;
  const inline = inlineTags(span.style);
  return block.open.length + block.close.length + inline.open.length + inline.close.length;
}

/** UTF-16 units of one character (by code unit) after escaping. */
export function escapedUnits(codeUnit: number): number {
  switch (codeUnit) {
    case 38: // &
      return 5;
    case 60: // <
    case 62: // >
      return 4;
    default:
      return 1;
  }
}
