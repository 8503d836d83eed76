import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { emptyDataDir, takeDataDir } from "./dataDir.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-data-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const plant = (name: string) => writeFile(join(dir, name), "x");
const entries = async () => (await readdir(dir)).sort();

test("a new folder, or a new volume, is taken; a restart finds nothing of what was there", async () => {
  await mkdir(join(dir, "lost+found"));
  await takeDataDir(dir);
  await plant("anything");
  await mkdir(join(dir, "run/state"), { recursive: true });
  await takeDataDir(dir);
  expect(await entries()).toEqual([".agent-factory-worker", "lost+found"]);
  await takeDataDir(join(dir, "lost+found/deeper"));
});

test("a folder that holds what no worker put there is refused, and nothing in it touched", async () => {
  await plant("thesis.docx");
  await expect(takeDataDir(dir)).rejects.toThrow("DATA_DIR holds 1 entries that no worker put there");
  expect(await entries()).toEqual(["thesis.docx"]);
});

test("a folder that cannot be written is named by its variable", async () => {
  await mkdir(join(dir, ".agent-factory-worker"));
  await expect(takeDataDir(dir)).rejects.toThrow(
    /^DATA_DIR cannot be written by this worker's user \(.*EISDIR/,
  );
});

test("what is named outlives a change of owner, and nothing else does", async () => {
  await takeDataDir(dir);
  for (const name of ["run", "conversations", "left-behind"]) await mkdir(join(dir, name));
  await emptyDataDir(dir, ["run"]);
  expect(await entries()).toEqual([".agent-factory-worker", "run"]);
});
