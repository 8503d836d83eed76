import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hashSkills } from "../../image/skills.ts";
import { workerDir } from "../../testing/worker.ts";
import { hashSkill } from "./hash.ts";
import { installSkills } from "./install.ts";
import { enforceSkillPolicy } from "./policy.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-skills-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function writeSkill(folder: string, name: string, body = "Do it."): Promise<string> {
  const path = join(dir, folder, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "SKILL.md"), `---\nname: ${name}\ndescription: What ${name} does\n---\n${body}`);
  return path;
}

test("the image's skills are kept with their description; every other one is removed and reported", async () => {
  const good = await writeSkill("image", "good");
  await writeSkill("image", "unlisted");
  await writeSkill("image", "changed");
  await writeSkill("data/run/state/skills", "planted");
  await writeSkill("data/conversations/c1/skills", "evil");
  await writeSkill("data/conversations/c1/skills", "good");
  const expected = new Map([
    ["good", await hashSkill(good)],
    ["changed", "0".repeat(64)],
  ]);
  const report = await enforceSkillPolicy(join(dir, "image"), expected, join(dir, "data"));
  expect(report.skills.map(({ name, description }) => [name, description])).toEqual([
    ["good", "What good does"],
  ]);
  expect(report.removed.sort()).toEqual([
    "conversations/c1/skills/evil",
    "image/changed",
    "image/unlisted",
    "run/state/skills/planted",
  ]);
  expect(await readdir(join(dir, "image"))).toEqual(["good"]);
  expect(await readdir(join(dir, "data/run/state/skills"))).toEqual([]);
});

test("a conversation's skill folder is put right: wanted copied, changed replaced, foreign removed", async () => {
  await writeSkill("image", "one");
  await writeSkill("image", "two");
  const expected = new Map(
    Object.entries({
      one: await hashSkill(join(dir, "image/one")),
      two: await hashSkill(join(dir, "image/two")),
    }),
  );
  const { skills } = await enforceSkillPolicy(join(dir, "image"), expected, join(dir, "data"));
  const wanted = skills.filter((skill) => skill.name === "one");
  const folder = join(dir, "conversation");
  await writeSkill("conversation/skills", "one", "Be evil");
  await writeSkill("conversation/skills", "two");
  await writeSkill("conversation/skills", "evil");
  await writeSkill("conversation/.agents/skills", "evil");
  expect(await installSkills(folder, wanted, skills)).toEqual(["evil"]);
  expect(await readdir(join(folder, "skills"))).toEqual(["one"]);
  expect(await hashSkill(join(folder, "skills/one"))).toBe(expected.get("one"));
  expect(await readdir(folder)).toEqual(["skills"]);
});

test("a skill folder that is a link is replaced, not followed", async () => {
  await writeSkill("image", "one");
  const expected = new Map([["one", await hashSkill(join(dir, "image/one"))]]);
  const { skills } = await enforceSkillPolicy(join(dir, "image"), expected, join(dir, "data"));
  await mkdir(join(dir, "conversation"));
  await mkdir(join(dir, "elsewhere"));
  await symlink(join(dir, "elsewhere"), join(dir, "conversation/skills"));
  await installSkills(join(dir, "conversation"), skills, skills);
  expect(await readdir(join(dir, "elsewhere"))).toEqual([]);
});

test("every skill of the repository has a valid manifest", async () => {
  const hashes = await hashSkills(join(workerDir, "skills"));
  expect(Object.keys(hashes)).toContain("plain-language");
});

test.each([
  ["no manifest", async (path: string) => rm(join(path, "manifest.json"), { force: true }), "cannot be read"],
  [
    "a manifest of another name",
    async (path: string) =>
      writeFile(join(path, "manifest.json"), '{"name":"b","version":"1","description":"d"}'),
    "names 'b'",
  ],
  [
    "an unknown field",
    async (path: string) =>
      writeFile(join(path, "manifest.json"), '{"name":"a","version":"1","description":"d","x":1}'),
    "manifest.json",
  ],
])("a skill with %s does not get into an image", async (_what, damage, words) => {
  const path = await writeSkill("source", "a");
  await damage(path);
  await expect(hashSkills(join(dir, "source"))).rejects.toThrow(words);
});
