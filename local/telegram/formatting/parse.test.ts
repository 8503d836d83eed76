import { describe, expect, test } from "vitest";
import { formatText } from "./parse.ts";

const html = (text: string) => formatText(text, "HTML", undefined);
const markdownV2 = (text: string) => formatText(text, "MarkdownV2", undefined);
const markdown = (text: string) => formatText(text, "Markdown", undefined);

describe("HTML", () => {
  test.each([
    ["<b>a</b><i>b</i>", "ab", ["bold 0+1", "italic 1+1"]],
    ["<b>x<u>y</u></b>", "xy", ["bold 0+2", "underline 1+1"]],
    [
      "<strong>s</strong><em>e</em><ins>i</ins><del>d</del>",
      "seid",
      ["bold 0+1", "italic 1+1", "underline 2+1", "strikethrough 3+1"],
    ],
    ["😀<code>c</code>", "😀c", ["code 2+1"]],
    ['<pre><code class="language-ts">x</code></pre>', "x", ["pre 0+1 ts"]],
    ['<a href="https://a.example/?x=1&amp;y=2">go</a>', "go", ["text_link 0+2 https://a.example/?x=1&y=2"]],
    ['<a href="no url">go</a>', "go", []],
    ["<tg-spoiler>s</tg-spoiler>", "s", ["spoiler 0+1"]],
    ['<span class="tg-spoiler">s</span>', "s", ["spoiler 0+1"]],
    ["<blockquote expandable>q</blockquote>", "q", ["expandable_blockquote 0+1"]],
    ["1 &lt; 2 &amp;&amp; 3 &gt; 2 &quot;&#33;&#x21;", '1 < 2 && 3 > 2 "!!', []],
    ["AT&T &unknown;", "AT&T &unknown;", []],
    ["  <b> a </b>  ", "a", ["bold 0+1"]],
    ["<b></b>x", "x", []],
  ])("%s", (source, text, entities) => {
    const parsed = html(source);
    expect([parsed.text, parsed.entities.map(show)]).toEqual([text, entities]);
  });

  test.each([
    ["a < b", 'Unsupported start tag "" at byte offset 2'],
    ["é<br>", 'Unsupported start tag "br" at byte offset 2'],
    ["<b", "Unclosed start tag at byte offset 0"],
    ["<b>x", 'Can\'t find end tag corresponding to start tag "b"'],
    ["x</b>", "Unexpected end tag at byte offset 1"],
    ["<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'],
    ["<b>x</b", "Unclosed end tag at byte offset 4"],
    ["<a href>x</a>", 'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'],
    ["<a =x>x</a>", 'Empty attribute name in the tag "a" at byte offset 0'],
    ['<a href="x>y</a>', "Unclosed start tag at byte offset 0"],
    ["<span>x</span>", 'Tag "span" must have class "tg-spoiler"'],
  ])("refuses %s", (source, problem) => {
    expect(() => html(source)).toThrow(`Bad Request: can't parse entities: ${problem}`);
  });
});

describe("MarkdownV2", () => {
  test.each([
    ["*a*_b_", "ab", ["bold 0+1", "italic 1+1"]],
    ["__u__~s~||p||", "usp", ["underline 0+1", "strikethrough 1+1", "spoiler 2+1"]],
    ["*x _y_*", "x y", ["bold 0+3", "italic 2+1"]],
    ["`c*d`", "c*d", ["code 0+3"]],
    ["```\nblock.\n```", "block.", ["pre 0+6"]],
    ["```ts\nx = 1;\n```", "x = 1;", ["pre 0+6 ts"]],
    ["[go](https://a.example/x\\)y)", "go", ["text_link 0+2 https://a.example/x)y"]],
    [">quote\n>more\nafter", "quote\nmore\nafter", ["blockquote 0+10"]],
    ["1\\. done\\!", "1. done!", []],
  ])("%s", (source, text, entities) => {
    const parsed = markdownV2(source);
    expect([parsed.text, parsed.entities.map(show)]).toEqual([text, entities]);
  });

  test.each("] ( ) > # + - = | { } . !".split(" "))(
    "refuses the bare character %s and takes it escaped",
    (char) => {
      expect(() => markdownV2(`a${char}`)).toThrow(
        `Bad Request: can't parse entities: Character '${char}' is reserved and must be escaped with the preceding '\\'`,
      );
      expect(markdownV2(`a\\${char}`).text).toBe(`a${char}`);
    },
  );

  test.each([
    ["😀*bold", "Can't find end of Bold entity at byte offset 4"],
    ["_a", "Can't find end of Italic entity at byte offset 0"],
    ["__a", "Can't find end of Underline entity at byte offset 0"],
    ["`a", "Can't find end of Code entity at byte offset 0"],
    ["```a", "Can't find end of Pre entity at byte offset 0"],
    ["[a", "Can't find end of TextUrl entity at byte offset 0"],
    ["[a](b", "Can't find end of a URL at byte offset 3"],
    ["*_a*_", "Can't find end of Italic entity at byte offset 4"],
  ])("refuses %s", (source, problem) => {
    expect(() => markdownV2(source)).toThrow(`Bad Request: can't parse entities: ${problem}`);
  });
});

describe("old Markdown", () => {
  test("marks bold, italic, code, blocks and links", () => {
    const parsed = markdown("*b* _i_ `c` [l](https://a.example) \\*");
    expect(parsed.text).toBe("b i c l *");
    expect(parsed.entities.map(show)).toEqual([
      "bold 0+1",
      "italic 2+1",
      "code 4+1",
      "text_link 6+1 https://a.example",
    ]);
  });

  test("refuses a mark without its end", () => {
    expect(() => markdown("é *a")).toThrow(
      "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 3",
    );
  });
});

test("given entities are kept, cut to the trimmed text", () => {
  const parsed = formatText("  hello ", undefined, [{ type: "bold", offset: 0, length: 4 }]);
  expect(parsed).toEqual({ text: "hello", entities: [{ type: "bold", offset: 0, length: 2 }] });
  expect(() => formatText("x", undefined, [{ type: "bold" }])).toThrow("can't parse MessageEntity");
});

test("links, commands, mentions and tags are found in plain text, but not in code", () => {
  const parsed = formatText(
    "/start@my_bot see https://a.example/x. @ada_l #tag a@b.example",
    undefined,
    undefined,
  );
  expect(parsed.entities.map(show)).toEqual([
    "bot_command 0+13",
    "url 18+19",
    "mention 39+6",
    "hashtag 46+4",
    "email 51+11",
  ]);
  expect(html("<code>/start</code>").entities.map(show)).toEqual(["code 0+6"]);
});

function show(entity: {
  type: string;
  offset: number;
  length: number;
  url?: string;
  language?: string;
}): string {
  const extra = entity.url ?? entity.language;
  return `${entity.type} ${entity.offset}+${entity.length}${extra ? ` ${extra}` : ""}`;
}
