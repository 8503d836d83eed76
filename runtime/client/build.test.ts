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

test("its types reach a strict consumer", () => {
  symlinkSync(join(root, "node_modules", "@types"), join(project, "node_modules", "@types"));
  writeFileSync(
    join(project, "main.ts"),
    `import { createClient } from "@agent-factory/client";
const client = createClient({ siteUrl: "https://a.example", serviceKey: "afk_a_b" });
export const answer: Promise<string | null> = client.getMessage("m").then((message) => message.answer);
// @ts-expect-error a conversation needs an agent
export const wrong = client.enqueue({ conversationId: "c", userId: "u", text: "t" });
`,
  );
  const tsc = join(root, "node_modules/@typescript/native/bin/tsc");
  const flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--types", "node"];
  const check = (): Buffer =>
    execFileSync(process.execPath, [tsc, ...flags, "main.ts"], { cwd: project, stdio: "pipe" });
  expect(check().toString()).toBe("");
});
