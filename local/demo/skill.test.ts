import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

test.each([
  ["ends", ""],
  [
    "is interrupted",
    "process.on('SIGINT', () => process.exit(130)); process.kill(process.pid, 'SIGINT'); setInterval(() => undefined, 1_000);",
  ],
  ["fails", "throw new Error('on purpose');"],
])("a demo that %s leaves no skill for the next image", (_how, end) => {
  const root = mkdtempSync(join(tmpdir(), "agent-factory-skill-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const file = join(root, "demo.mjs");
  writeFileSync(
    file,
    `import { existsSync } from "node:fs";
     import { addDemoSkill } from ${JSON.stringify(join(import.meta.dirname, "skill.ts"))};
     addDemoSkill(${JSON.stringify(root)});
     if (existsSync(${JSON.stringify(join(root, "runtime/worker/skills/demo-greeting/SKILL.md"))})) console.log("added");
     ${end}`,
  );
  const run = spawnSync(process.execPath, [file], { encoding: "utf8" });
  expect(run.stdout).toContain("added");
  const skills = join(root, "runtime", "worker", "skills");
  expect(existsSync(skills) ? readdirSync(skills) : []).toEqual([]);
});
