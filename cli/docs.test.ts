/** What the documents say exists: commands with their options, files that are linked, error texts. */
import { globSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { buildProgram } from "./program.ts";
import { fakeIo } from "./testing/fakeIo.ts";

const root = join(import.meta.dirname, "..");
const documents = [...globSync("docs/*.md", { cwd: root }), "README.md"].sort();
const read = (file: string): string => readFileSync(join(root, file), "utf8");

const io = fakeIo();
io.remove();
const program = buildProgram(io);

/** Leads along the words of an example as far as they name commands. */
function commandOf(words: readonly string[]): { command: Command; depth: number } {
  let command = program;
  let depth = 0;
  for (const word of words) {
    const next = command.commands.find((child) => child.name() === word);
    if (next === undefined) break;
    command = next;
    depth += 1;
  }
  return { command, depth };
}

function examples(text: string): string[] {
  return [...text.matchAll(/npm run (?:--silent )?factory -- ([^\n`#|]+)/g)].map(
    (match) => match[1]?.trim() ?? "",
  );
}

describe.each(documents)("%s", (file) => {
  it("names commands and options that the CLI has", () => {
    for (const example of examples(read(file))) {
      const words = example.split(/\s+/);
      const { command, depth } = commandOf(words);
      const known = [...command.options, ...program.options].map((option) => option.long);
      if (!example.startsWith("--help")) expect(depth, example).toBeGreaterThan(0);
      for (const word of words.filter((candidate) => /^--[a-z]/.test(candidate))) {
        expect([...known, "--help"], example).toContain(word);
      }
    }
  });

  it("links to files that are there", () => {
    for (const [, link = ""] of read(file).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      expect(() => statSync(join(root, dirname(file), link)), link).not.toThrow();
    }
  });
});

it("every operator function has a command, or docs/operations.md says what takes its place", () => {
  const functions = [...read("runtime/convex/factory.ts").matchAll(/^export \{([^}]+)\}/gm)].flatMap(
    ([, names = ""]) =>
      names
        .split(",")
        .map((name) => name.trim().split(" as ").at(-1) ?? "")
        .filter((name) => name !== ""),
  );
  expect(functions.length).toBeGreaterThan(60);
  const commands = globSync("cli/{commands,smoke}/*.ts", {
    cwd: root,
    exclude: (path) => path.endsWith(".test.ts"),
  })
    .map(read)
    .join("\n");
  const runs = (name: string): boolean => new RegExp(`"${name}"`).test(commands);
  const [, excuses = ""] = read("docs/operations.md").split("## Functions without a command");
  const excused = (name: string): boolean => excuses.split("\n## ")[0]?.includes(`\`${name}\``) === true;
  expect(functions.filter((name) => !runs(name) && !excused(name))).toEqual([]);
  expect(functions.filter((name) => runs(name) && excused(name))).toEqual([]);
});

describe("docs/troubleshooting.md", () => {
  const sources = [
    ...globSync("{cli,infra,runtime,setup}/**/*.{ts,mjs}", {
      cwd: root,
      exclude: (path) => path.includes("node_modules") || path.endsWith(".test.ts"),
    }),
    // Pulumi's own words: the tests that meet them run the real engine.
    ...globSync("tests/e2e/*.test.ts", { cwd: root }),
  ]
    .map(read)
    .join("\n")
    .replaceAll("\\`", "`");
  const texts = [
    ...read("docs/troubleshooting.md").matchAll(
      /^\| (?:`` (.+?) ``|`([^`]+)`)(?: \(Pulumi's words.*?\))? +\|/gm,
    ),
  ].map((match) => match[1] ?? match[2] ?? "");

  it("is read here", () => {
    expect(texts.length).toBeGreaterThan(50);
  });

  it.each(texts)("quotes the code: %s", (text) => {
    // What is left between two placeholders can be as short as a quote.
    const fragments = text.split("…").map((part) => part.trim());
    expect(fragments.filter((part) => part.length >= 8 && !sources.includes(part))).toEqual([]);
  });
});
