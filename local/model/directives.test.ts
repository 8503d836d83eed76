import { expect, test } from "vitest";
import { parseDirectives } from "./directives.ts";

test.each([
  ["hello", 0, [], { kind: "default" }],
  ["Say hello", 0, [], { kind: "default" }],
  ["I say hello", 0, [], { kind: "default" }],
  ["say", 0, [], { kind: "default" }],
  ["say  two words ", 0, [], { kind: "say", text: "two words" }],
  ["slow 250", 250, [], { kind: "default" }],
  ["slow motion", 0, [], { kind: "default" }],
  ["slow 10\nfail 503", 10, [], { kind: "fail", status: 503 }],
  ["fail 200", 0, [], { kind: "default" }],
  ["long story short", 0, [], { kind: "default" }],
  ["long 9999999", 0, [], { kind: "long", chars: 1_000_000 }],
  ["garbage collection", 0, [], { kind: "default" }],
  ["tool read", 0, [{ name: "read", arguments: "{}" }], { kind: "default" }],
  [
    'tool read {"a": {"b": 1}}\nsay ok',
    0,
    [{ name: "read", arguments: '{"a": {"b": 1}}' }],
    { kind: "say", text: "ok" },
  ],
  ["tool box with words", 0, [], { kind: "default" }],
  ["first line\nmarkdown", 0, [], { kind: "markdown" }],
])("%j", (text, delayMs, tools, ending) => {
  expect(parseDirectives(text)).toEqual({ delayMs, tools, ending });
});
