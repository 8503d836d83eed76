import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseMarkdown } from "./markdown.ts";
import { PART_UNITS_MAX, PARTS_MAX, textParts } from "./parts.ts";
import { renderHtml, renderPlain } from "./spans.ts";
import { splitSpans } from "./split.ts";

const html = (markdown: string): string =>
  textParts(markdown)
    .map((part) => part.html)
    .join("");

describe("Markdown becomes Telegram HTML", () => {
  test.each([
    ["**bold** and *italic*", "<b>bold</b> and <i>italic</i>"],
    ["***both***", "<b><i>both</i></b>"],
    ["~~gone~~ ||secret||", "<s>gone</s> <tg-spoiler>secret</tg-spoiler>"],
    ["`a < b && c`", "<code>a &lt; b &amp;&amp; c</code>"],
    ["``a ` b``", "<code>a ` b</code>"],
    ["# Title", "<b>Title</b>"],
    ["- one\n- two\n  - three", "• one\n• two\n  • three"],
    ["- [ ] open\n- [x] done", "☐ open\n☑ done"],
    ["1. first\n2. second", "1. first\n2. second"],
    ["[text](https://x.example/a?b=1&c=2)", '<a href="https://x.example/a?b=1&amp;c=2">text</a>'],
    ["[wiki](https://x.example/a_(b))", '<a href="https://x.example/a_(b)">wiki</a>'],
    ["[bad](javascript:alert(1))", "bad (javascript:alert(1))"],
    ["<https://x.example>", '<a href="https://x.example">https://x.example</a>'],
    ["> quoted\n> more\n\nafter", "<blockquote>quoted\nmore</blockquote>\n\nafter"],
    ["```ts\nconst a = 1 < 2;\n```", '<pre><code class="language-ts">const a = 1 &lt; 2;</code></pre>'],
    ["```\nnever closed", "<pre>never closed</pre>"],
    ["snake_case_name stays", "snake_case_name stays"],
    ["2 * 3 * 4", "2 * 3 * 4"],
    ["**never closed", "**never closed"],
    ["**a *b** c*", "<b>a *b</b> c*"],
    ["\\*not italic\\*", "*not italic*"],
    ["<b>raw</b> & more", "&lt;b&gt;raw&lt;/b&gt; &amp; more"],
    ["**bold\nover lines**", "<b>bold\nover lines</b>"],
    ["---", "———"],
    ["| a | b |\n|---|---|\n| 1 | 22 |", "<pre>a  b\n1  22</pre>"],
  ])("%j", (markdown, expected) => {
    expect(html(markdown)).toBe(expected);
  });
});

describe("long answers are split", () => {
  test("between paragraphs when there is one in the second half", () => {
    const parts = textParts(`${"a".repeat(3_000)}\n\n${"b".repeat(3_000)}`);
    expect(parts.map((part) => part.plain)).toEqual(["a".repeat(3_000), "b".repeat(3_000)]);
  });

  test("a code block that spans parts is a code block in each", () => {
    const line = `${"x".repeat(79)}\n`;
    const parts = textParts(`\`\`\`py\n${line.repeat(120)}\`\`\``);
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) {
      expect(part.html.startsWith('<pre><code class="language-py">')).toBe(true);
      expect(part.html.endsWith("</code></pre>")).toBe(true);
    }
  });

  test("an emoji family is not torn apart", () => {
    const family = "👨‍👩‍👧‍👦";
    const parts = textParts(family.repeat(600));
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) expect(part.plain.length % family.length).toBe(0);
  });

  test("an answer beyond all measure is cut and says so", () => {
    const parts = textParts("word ".repeat(60_000));
    expect(parts).toHaveLength(PARTS_MAX + 1);
    expect(parts.at(-1)?.plain).toContain("too long");
  });

  test("blank answers have no parts", () => {
    for (const blank of ["", " \n\n ", "\u0000", "```\n\n```"]) expect(textParts(blank)).toEqual([]);
  });
});

/** Words, markup and the characters that break naive splitters, in any order. */
const nasty = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "**",
        "*",
        "_",
        "__",
        "~~",
        "||",
        "`",
        "```",
        "\n",
        "\n\n",
        "> ",
        "- ",
        "# ",
        "[",
        "](",
        ")",
        "<",
        ">",
        "&",
        "&amp;",
        "\\",
        "|",
        "|---|",
        "https://x.example/",
        "👨‍👩‍👧‍👦",
        "é",
        "e\u0301",
        "\u{1f1ee}\u{1f1f9}",
        "\ud800",
        "\u0000",
        "</b>",
        " ",
      ),
      fc.string({ unit: "grapheme", maxLength: 40 }),
      fc.string({ unit: "binary", maxLength: 20 }),
      fc.constantFrom("lorem ipsum dolor ", "x".repeat(500)),
    ),
    { maxLength: 120 },
  )
  .map((pieces) => pieces.join(""));

/** Walks HTML as Telegram does: known tags, properly nested, nothing left open, only known entities. */
function assertWellFormed(text: string): void {
  const open: string[] = [];
  const pattern = /<(\/?)([a-z-]+)((?: [a-z]+="[^"<>]*")?)>|&(amp|lt|gt|quot);|[<>&]/g;
  for (const match of text.matchAll(pattern)) {
    const [whole, slash, tag] = match;
    if (tag !== undefined) {
      expect(["b", "i", "s", "tg-spoiler", "code", "pre", "a", "blockquote"]).toContain(tag);
      if (slash === "/") expect(open.pop()).toBe(tag);
      else open.push(tag);
    } else if (whole === "<" || whole === ">" || whole === "&") {
      throw new Error(
        `bare ${whole} in ${text.slice(Math.max(0, (match.index ?? 0) - 20), (match.index ?? 0) + 20)}`,
      );
    }
  }
  expect(open).toEqual([]);
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

describe("for any text", () => {
  test("each part is well-formed HTML within the limit and shows something", () => {
    fc.assert(
      fc.property(nasty, fc.integer({ min: 200, max: 4_096 }), (markdown, unitsMax) => {
        const { parts } = splitSpans(parseMarkdown(markdown), unitsMax, 1_000);
        for (const part of parts) {
          const rendered = renderHtml(part);
          expect(rendered.length).toBeLessThanOrEqual(unitsMax);
          expect(renderPlain(part).length).toBeLessThanOrEqual(unitsMax);
          expect(renderPlain(part).trim()).not.toBe("");
          assertWellFormed(rendered);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("nothing but white space at the cuts is lost, and nothing is said twice", () => {
    const visible = (text: string): string => text.replace(/\s/g, "");
    fc.assert(
      fc.property(nasty, (markdown) => {
        const spans = parseMarkdown(markdown);
        const { parts } = splitSpans(spans, 300, 100_000);
        const whole = spans.map((span) => span.text).join("");
        const joined = parts.map((part) => part.map((span) => span.text).join("")).join("");
        expect(visible(joined)).toBe(visible(whole));
      }),
      { numRuns: 400 },
    );
  });

  test("an endless text is looked at as far as its parts can show it", () => {
    // Nothing of it shows, so that its parts alone would never end the reading.
    const parts = textParts(`${"\n".repeat(2_000_000)}the end`);
    expect(parts.map(({ plain }) => plain)).toEqual(["[The answer was too long and was cut here.]"]);
  });

  test("no cut falls inside a surrogate pair", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 300, maxLength: 2_000 }), (text) => {
        const { parts } = splitSpans([{ text, style: {}, block: { kind: "paragraph", id: 0 } }], 200, 1_000);
        for (const part of parts) {
          const shown = part.map((span) => span.text).join("");
          expect(isLow(shown.charCodeAt(0))).toBe(false);
          expect(isHigh(shown.charCodeAt(shown.length - 1))).toBe(false);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("hostile repetition stays linear", () => {
    for (const piece of ["**a ", "[", "`", "*", "_a", "||x ", "![](", "<", "> ", "``a`", "&"]) {
      const text = piece.repeat(Math.floor(100_000 / piece.length));
      // Quadratic work on 100,000 characters would take minutes: the runner's own time limit is the assertion.
      expect(textParts(text).length).toBeLessThanOrEqual(PARTS_MAX + 1);
    }
  });

  test("what people typed without markup arrives unchanged", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9 .,;:?()'"-]{1,300}$/), (text) => {
        fc.pre(text.trim() === text && !/^(?:[-*+]|\d+\.|#|>)/.test(text));
        const [part] = textParts(text);
        expect(part?.plain).toBe(text);
        expect(part?.html.length).toBeLessThanOrEqual(PART_UNITS_MAX);
      }),
      { numRuns: 200 },
    );
  });
});
