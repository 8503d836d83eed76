/** An agent's Markdown to the messages that Telegram takes. */
import { parseMarkdown } from "./markdown.ts";
import { type Span, renderHtml, renderPlain } from "./spans.ts";
import { splitSpans } from "./split.ts";
import { clipText } from "../clipText.ts";

/** Telegram refuses longer messages; counted in UTF-16 units of the HTML, which is never shorter than what is shown. */
export const PART_UNITS_MAX = 4_096;
/** An answer of more parts than this is a mistake, not a message: about 160,000 characters. */
export const PARTS_MAX = 40;

/**
 * Markdown beyond this is not read: markup included it has long filled all parts, and a transaction that completes a
 * turn has one second for all its code.
 */
const SOURCE_UNITS_MAX = 200_000;

const TRUNCATED = "[The answer was too long and was cut here.]";

export type TextPart = { html: string; plain: string };

/** Parts in reading order; none when the text shows nothing. */
export function textParts(markdown: string): TextPart[] {
  const source = clipText(markdown, SOURCE_UNITS_MAX);
  const { parts, truncated } = splitSpans(parseMarkdown(source), PART_UNITS_MAX, PARTS_MAX);
  const rendered = parts.map(renderPart);
  return truncated || markdown.length > SOURCE_UNITS_MAX
    ? [...rendered, { html: `<i>${TRUNCATED}</i>`, plain: TRUNCATED }]
    : rendered;
}

function renderPart(spans: readonly Span[]): TextPart {
  return { html: renderHtml(spans), plain: clipText(renderPlain(spans), PART_UNITS_MAX) };
}
