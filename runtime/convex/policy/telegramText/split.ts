/**
 * Cuts styled text into parts that fit one Telegram message each. Cuts fall, in this order of preference, between
 * paragraphs, lines, words, characters; never inside a surrogate pair or a joined emoji.
 */
import { escapedUnits, type Span, tagUnits } from "./spans.ts";

/** Where in one long run of text a cut may fall. Boundaries below this share of the space are not worth it. */
const EARLIEST_CUT_SHARE = 0.5;
/** A joined emoji is at most a few dozen units; beyond that a cluster is hostile and is cut anyway. */
const CLUSTER_UNITS_MAX = 64;

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

/** Combining marks and variation selectors, skin tones, the joiner, flag tags: they belong to what is before them. */
const JOINS_BEFORE = /^(?:\p{M}|\p{Emoji_Modifier}|\u200d|[\u{e0020}-\u{e007f}])/u;

function cutsCluster(text: string, at: number): boolean {
  if (at <= 0 || at >= text.length) return false;
  if (isHighSurrogate(text.charCodeAt(at - 1)) && isLowSurrogate(text.charCodeAt(at))) return true;
  if (text.charCodeAt(at - 1) === 0x200d) return true;
  return JOINS_BEFORE.test(text.slice(at, at + 2));
}

/** Moves a cut back to the start of the character it would split; gives up (but for surrogates) when hostile. */
function alignedCut(text: string, at: number): number {
  let cut = at;
  while (cut > 0 && at - cut < CLUSTER_UNITS_MAX && cutsCluster(text, cut)) cut -= 1;
  if (cut > 0 && !cutsCluster(text, cut)) return cut;
  return at > 1 && isHighSurrogate(text.charCodeAt(at - 1)) && isLowSurrogate(text.charCodeAt(at))
    ? at - 1
    : at;
}

/** Largest prefix (in units of the source) whose escaped form fits `room`. */
function fittingPrefix(text: string, room: number): number {
  let used = 0;
  for (let index = 0; index < text.length; index += 1) {
    used += escapedUnits(text.charCodeAt(index));
    if (used > room) return index;
  }
  return text.length;
}

function escapedLength(text: string): number {
  let units = 0;
  for (let index = 0; index < text.length; index += 1) units += escapedUnits(text.charCodeAt(index));
  return units;
}

/** Index after the best boundary of `text` inside (min, max], or 0 when there is none. */
function boundaryWithin(text: string, min: number, max: number): number {
  const head = text.slice(0, max);
  for (const mark of ["\n\n", "\n", " "]) {
    const found = head.lastIndexOf(mark);
    if (found > min) return found + mark.length;
  }
  return 0;
}

type Position = { span: number; offset: number };

/** The best place to cut spans that together overflow: searched backwards over the part's own text. */
function bestCut(spans: readonly Span[], hard: Position): Position {
  // Of a long text only this part's own spans are looked at, or every part would cost the whole.
  const text = spans
    .slice(0, hard.span + 1)
    .map((span, index) => (index === hard.span ? span.text.slice(0, hard.offset) : span.text));
  const joined = text.join("");
  const min = Math.floor(joined.length * EARLIEST_CUT_SHARE);
  let cut = boundaryWithin(joined, min, joined.length);
  if (cut === 0) cut = hardCut(spans, hard, joined);
  for (let index = 0; index <= hard.span; index += 1) {
    const length = text[index]?.length ?? 0;
    if (cut <= length) return { span: index, offset: cut };
    cut -= length;
  }
  return hard;
}

/** Units behind a cut that tell whether it splits a character. */
const FOLLOWING_UNITS = 2;

/** Without any boundary: between two characters, seen together with what follows the cut. */
function hardCut(spans: readonly Span[], hard: Position, joined: string): number {
  let following = "";
  for (let index = hard.span; index < spans.length && following.length < FOLLOWING_UNITS; index += 1) {
    const from = index === hard.span ? hard.offset : 0;
    following += (spans[index]?.text ?? "").slice(from, from + FOLLOWING_UNITS);
  }
  return alignedCut(joined + following.slice(0, FOLLOWING_UNITS), joined.length);
}

/** Walks until the limit is passed; null when everything fits. */
function overflowAt(spans: readonly Span[], unitsMax: number): Position | null {
  let used = 0;
  for (const [index, span] of spans.entries()) {
    const tags = tagUnits(span);
    const fits = fittingPrefix(span.text, unitsMax - used - tags);
    if (fits < span.text.length) return { span: index, offset: Math.max(0, fits) };
    used += tags + escapedLength(span.text);
  }
  return null;
}

function trimPart(spans: readonly Span[]): Span[] {
  const trimmed = spans.filter((span) => span.text.length > 0).map((span) => ({ ...span }));
  while (trimmed[0] && (trimmed[0].text = trimmed[0].text.replace(/^\n+/, "")) === "") trimmed.shift();
  let last = trimmed.at(-1);
  while (last && (last.text = last.text.trimEnd()) === "") {
    trimmed.pop();
    last = trimmed.at(-1);
  }
  return trimmed;
}

/**
 * Splits spans so that each part's HTML has at most `unitsMax` UTF-16 units. Parts without visible text are left
 * out. At most `partsMax` parts come back; `truncated` says that text was left over.
 */
export function splitSpans(
  spans: readonly Span[],
  unitsMax: number,
  partsMax: number,
): { parts: Span[][]; truncated: boolean } {
  const parts: Span[][] = [];
  // A span whose tags alone fill a message (a monstrous link) keeps its words and loses its style.
  let rest: Span[] = spans.map((span) =>
    tagUnits(span) > unitsMax / 2
      ? { text: span.text, style: {}, block: { kind: "paragraph", id: span.block.id } }
      : span,
  );
  while (rest.length > 0) {
    if (parts.length === partsMax) return { parts, truncated: trimPart(rest).length > 0 };
    const overflow = overflowAt(rest, unitsMax);
    const cut = overflow === null ? null : bestCut(rest, overflow);
    const part = cut === null ? rest : takeUntil(rest, cut);
    rest = cut === null ? [] : takeFrom(rest, cut);
    const trimmed = trimPart(part);
    if (trimmed.length > 0) parts.push(trimmed);
  }
  return { parts, truncated: false };
}

function takeUntil(spans: readonly Span[], cut: Position): Span[] {
  const kept = spans.slice(0, cut.span + 1).map((span) => ({ ...span }));
  const last = kept.at(-1);
  if (last) last.text = last.text.slice(0, cut.offset);
  return kept;
}

function takeFrom(spans: readonly Span[], cut: Position): Span[] {
  const first = spans[cut.span];
  if (!first) return [];
  return [{ ...first, text: first.text.slice(cut.offset) }, ...spans.slice(cut.span + 1)].filter(
    (span) => span.text.length > 0,
  );
}
