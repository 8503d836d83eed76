/** What the documents say exists: commands with their options, scripts, files, config keys, error texts. */
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { stackSchema } from "../infra/config.ts";
import { runtimeConfigSchema } from "../runtime/convex/policy/runtimeConfig.ts";
import { buildProgram } from "./program.ts";
import { fakeIo } from "./testing/fakeIo.ts";

const root = join(import.meta.dirname, "..");
const documents = [
  ...globSync(["*.md", "docs/*.md", "runtime/client/README.md", "setup/README.md", "local/*/README.md"], {
    cwd: root,
  }),
].sort();
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

const scripts = Object.keys(
  (JSON.parse(read("package.json")) as { scripts: Record<string, string> }).scripts,
);

/** What stands between single backticks. */
const quoted = (text: string): string[] =>
  [...text.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map((match) => match[1] ?? "");

/** Groups of the CLI whose names are no words of anything else. */
const groups = program.commands.filter(
  (command) => command.commands.length > 0 && command.name() !== "config",
);

interface Shape {
  properties?: Record<string, Shape>;
  items?: Shape;
  anyOf?: Shape[];
  oneOf?: Shape[];
}

/** Every key below a shape, dotted; lists add no step. */
function keysBelow(shape: Shape, prefix: string): string[] {
  const alternatives = [
    ...(shape.anyOf ?? []),
    ...(shape.oneOf ?? []),
    ...(shape.items ? [shape.items] : []),
  ];
  return [
    ...alternatives.flatMap((each) => keysBelow(each, prefix)),
    ...Object.entries(shape.properties ?? {}).flatMap(([key, inner]) => {
      const path = prefix === "" ? key : `${prefix}.${key}`;
      return [path, ...keysBelow(inner, path)];
    }),
  ];
}

const shapeOf = (schema: z.ZodType): Shape =>
  z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Shape;
const policyKeys = keysBelow(shapeOf(runtimeConfigSchema), "").filter((key) => !key.startsWith("provider"));
const configKeys = new Set([
  ...keysBelow(shapeOf(stackSchema), ""),
  ...policyKeys.flatMap((key) => [key, `policies.${key}`, key.replace(/^scaling\.(?=warmPool)/, "")]),
]);
const sections = new Set([...configKeys].map((key) => key.split(".")[0] ?? ""));
/** Names with a dot that are not keys: secret refs, and files of that name. */
const NOT_KEYS = /^(telegram\.botToken|fly\.apiToken|.*\.(json|ts|yml|yaml|toml|sqlite)$)/;
/** Sections whose keys are anybody's: agent keys, environment variables. */
const OPEN = /^(workerEnv|agents|retry)\b/;

const scriptsOf = (text: string): string[] =>
  [...text.matchAll(/npm run (?:--silent )?([a-z]+(?::[a-z]+)*)(?!:?<|\w| --workspace)/g)].map(
    (match) => match[1] ?? "",
  );

/** `queue list`: what begins with a group of the CLI and goes on with a word. */
const commandsOf = (text: string): Array<{ group: Command; name: string; text: string }> =>
  quoted(text).flatMap((words) => {
    const [first = "", name = ""] = words.split(" ");
    const group = groups.find((command) => command.name() === first);
    return group !== undefined && /^[a-z]/.test(name) ? [{ group, name, text: words }] : [];
  });

const keysIn = (text: string): string[] =>
  quoted(text).flatMap((words) => {
    const key = /^(?:agent-factory:)?([a-zA-Z]+(?:\.[a-zA-Z]+)+)(?:: .*|=.*)?$/.exec(words)?.[1];
    if (key === undefined || NOT_KEYS.test(key) || OPEN.test(key)) return [];
    return sections.has(key.split(".")[0] ?? "") ? [key] : [];
  });

const filesIn = (text: string): string[] =>
  quoted(text).flatMap((words) => {
    const path = /^((?:[\w.-]+\/)+[\w.-]+\.(?:ts|mjs|mts|md|sh|yml|yaml|json))(?::\w+)?$/.exec(words)?.[1];
    return path === undefined ? [] : [path];
  });

it("finds names to look for in the documents", () => {
  const all = documents.map(read).join("\n");
  expect(scriptsOf(all).length).toBeGreaterThan(50);
  expect(commandsOf(all).length).toBeGreaterThan(20);
  expect(keysIn(all).length).toBeGreaterThan(40);
  expect(filesIn(all).length).toBeGreaterThan(100);
});

describe.each(documents)("%s", (file) => {
  it("names npm scripts that are there", () => {
    expect(scriptsOf(read(file)).filter((script) => !scripts.includes(script))).toEqual([]);
  });

  it("names commands of the CLI that are there, also without their prefix", () => {
    const unknown = commandsOf(read(file)).filter(
      ({ group, name }) => !group.commands.some((command) => command.name() === name),
    );
    expect(unknown.map(({ text }) => text)).toEqual([]);
  });

  it("names config keys that are there", () => {
    expect(keysIn(read(file)).filter((key) => !configKeys.has(key))).toEqual([]);
  });

  it("names files of the project that are there", () => {
    const folders = ["", dirname(file), "runtime/convex", "runtime/worker", "runtime/worker/src"];
    const missing = filesIn(read(file)).filter(
      (path) => !folders.some((folder) => existsSync(join(root, folder, path))),
    );
    expect(missing).toEqual([]);
  });

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
    ...globSync("{cli,infra,local,runtime,setup}/**/*.{ts,mjs}", {
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
