import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const build = fileURLToPath(new URL("build.ts", import.meta.url));
/** A consumer's project with the package installed. */
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "client-package-"));
  const out = join(project, "node_modules", "@agent-factory", "client");
  execFileSync(process.execPath, [build, "--out", out], { stdio: "pipe" });
  writeFileSync(join(project, "package.json"), '{"type":"module"}');
  symlinkSync(join(root, "node_modules", "@types"), join(project, "node_modules", "@types"));
});
afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

test("the published package needs no dependency and no build of its user", () => {
  const manifest = JSON.parse(
    readFileSync(join(project, "node_modules/@agent-factory/client/package.json"), "utf8"),
  ) as Record<string, unknown>;
  expect(manifest).toMatchObject({ name: "@agent-factory/client", type: "module" });
  for (const field of ["private", "scripts"]) expect(manifest).not.toHaveProperty(field);
  expect(manifest).not.toHaveProperty("dependencies");
  writeFileSync(
    join(project, "main.js"),
    'import * as client from "@agent-factory/client"; console.log(Object.keys(client).join(" "));',
  );
  const printed = execFileSync(process.execPath, ["--no-strip-types", "main.js"], { cwd: project });
  expect(printed.toString().trim()).toBe("AgentFactoryError createClient verifyWebhook");
});

test("npm packs JavaScript, types, the licence, the manual and the example that it names, and nothing else", () => {
  const folder = join(project, "node_modules", "@agent-factory", "client");
  const npm = ["npm", ["pack", "--dry-run", "--json", "--offline"], { cwd: folder, stdio: "pipe" }] as const;
  const [packed] = JSON.parse(execFileSync(...npm).toString()) as [{ files: Array<{ path: string }> }];
  const paths = packed.files.map(({ path }) => path);
  const others = ["LICENSE", "README.md", "example/server.ts", "package.json"];
  expect(paths.filter((path) => !/^\w[\w.]*(?<!\.test)\.(?:d\.ts|js)$/.test(path)).toSorted()).toEqual(
    others,
  );
  for (const path of paths.filter((one) => one.endsWith(".js")))
    expect(paths).toContain(path.replace(/js$/, "d.ts"));
  for (const [, link = ""] of readFileSync(join(folder, "README.md"), "utf8").matchAll(
    /\]\((?!https?:)([^)#]+)/g,
  )) {
    expect(paths).toContain(link);
  }
});

const settings: Array<[string, string[]]> = [
  ["NodeNext", ["--module", "nodenext", "--types", "node"]],
  ["a bundler, without Node's types", ["--module", "esnext", "--moduleResolution", "bundler", "--types", ""]],
  ["exact optional properties", ["--module", "nodenext", "--types", "node", "--exactOptionalPropertyTypes"]],
];

test.each(settings)("its types reach a strict consumer with %s", (_title, flags) => {
  writeFileSync(
    join(project, "main.ts"),
    `import { createClient, verifyWebhook, type WebhookEvent } from "@agent-factory/client";
const client = createClient({ siteUrl: "https://a.example", serviceKey: "afk_a_b" });
export const answer: Promise<string | null> = client.getMessage("m").then((message) => message.answer);
export const event: Promise<WebhookEvent> = verifyWebhook("whsec_x", new Headers(), "{}");
export async function follow(): Promise<number> {
  for await (const { seq } of client.subscribe("c")) return seq;
  return -1;
}
// @ts-expect-error a conversation needs an agent
export const wrong = client.enqueue({ conversationId: "c", userId: "u", text: "t" });
`,
  );
  const tsc = join(root, "node_modules/@typescript/native/bin/tsc");
  const all = [tsc, "--noEmit", "--strict", "--target", "es2023", "--lib", "es2023,dom", ...flags, "main.ts"];
  expect(execFileSync(process.execPath, all, { cwd: project, stdio: "pipe" }).toString()).toBe("");
});
