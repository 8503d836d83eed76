import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildTree, hashContext } from "./buildTree.ts";
import { bundleWorker, workerDir } from "./bundle.ts";
import { readLockfile, repositoryDir } from "./context.ts";
import { closureOf } from "./lockfile.ts";

const run = promisify(execFile);
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-tree-"));
  await buildTree({ outDir: join(dir, "tree"), openclaw: "link" });
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

/** Exit code and error output of the tree's entry. */
async function start(env: Record<string, string>): Promise<{ code: number; stderr: string }> {
  try {
    await run(process.execPath, [join(dir, "tree/main.js")], {
      env: { PATH: process.env["PATH"] ?? "", ...env },
    });
    return { code: 0, stderr: "" };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, stderr };
  }
}

test("the tree holds the bundle, the plugin, the skills with their hashes and what it was made of", async () => {
  expect((await readdir(join(dir, "tree"))).sort()).toEqual([
    "image.json",
    "main.js",
    "package.json",
    "plugin",
    "skills",
    "skills.json",
  ]);
  const image = JSON.parse(await readFile(join(dir, "tree/image.json"), "utf8")) as { contextHash: string };
  expect(image.contextHash).toBe(hashContext());
});

test("the same sources give the same bytes", async () => {
  await buildTree({ outDir: join(dir, "again"), openclaw: "link" });
  for (const file of ["main.js", "plugin/index.js", "skills.json", "image.json"]) {
    expect(await readFile(join(dir, "again", file)), file).toEqual(await readFile(join(dir, "tree", file)));
  }
});

test("a tsconfig.json above the sources decides nothing: the image's build has none", async () => {
  await mkdir(join(dir, "configured"));
  await writeFile(join(dir, "configured/tsconfig.json"), '{"compilerOptions":{"alwaysStrict":true}}');
  await writeFile(join(dir, "configured/entry.ts"), "export default require('./part.cjs');");
  await writeFile(join(dir, "configured/part.cjs"), "exports.part = 1;");
  await bundleWorker(join(dir, "configured/out.js"), join(dir, "configured/entry.ts"));
  expect(await readFile(join(dir, "configured/out.js"), "utf8")).not.toContain("use strict");
});

test("the folder that is built into stays: its owner need not own the one above it", async () => {
  await chmod(join(dir, "tree"), 0o750);
  await writeFile(join(dir, "tree/left-behind"), "");
  await buildTree({ outDir: join(dir, "tree"), openclaw: "link" });
  expect((await stat(join(dir, "tree"))).mode & 0o777).toBe(0o750);
  expect(await readdir(join(dir, "tree"))).not.toContain("left-behind");
});

test("an environment that lacks something ends with 78 and a FATAL line for each variable", async () => {
  const { code, stderr } = await start({});
  expect(code).toBe(78);
  expect(stderr.trim().split("\n").sort()).toEqual([
    "FATAL CONVEX_URL is missing",
    "FATAL OPENCLAW_AGENT_MODEL is missing",
    "FATAL WORKER_ID is missing",
    "FATAL WORKER_TOKEN is missing",
  ]);
});

test("started as root, the image owns its volume and runs without root or a capability; else as it was started", async () => {
  const root = process.getuid?.() === 0;
  const dataDir = join(dir, "data");
  await mkdir(dataDir);
  const report = `
    const { writeFileSync, readFileSync, statSync } = require("node:fs");
    writeFileSync(process.env.DATA_DIR + "/file", "");
    const status = readFileSync("/proc/self/status", "utf8");
    console.log(JSON.stringify({
      uid: process.getuid(),
      owner: statSync(process.env.DATA_DIR).uid,
      capabilities: /CapEff:\\s+(\\w+)/.exec(status)[1],
      bounding: /CapBnd:\\s+(\\w+)/.exec(status)[1],
      noNewPrivileges: /NoNewPrivs:\\s+(\\d)/.exec(status)[1],
    }));`;
  await chmod(dir, 0o755);
  const { stdout } = await run("sh", [join(workerDir, "image/entry.sh"), process.execPath, "-e", report], {
    env: { PATH: process.env["PATH"] ?? "", DATA_DIR: dataDir, WORKER_USER: "nobody" },
  });
  const { uid } = userInfo({ encoding: "utf8" });
  const seen = JSON.parse(stdout) as Record<string, unknown>;
  if (root) {
    expect(seen).toEqual({
      uid: seen["owner"],
      owner: expect.any(Number),
      capabilities: "0000000000000000",
      bounding: "0000000000000000",
      noNewPrivileges: "1",
    });
    expect(seen["uid"]).not.toBe(0);
  } else {
    expect(seen).toMatchObject({ uid, owner: uid });
  }
});

test("a folder that cannot be given to the worker's user ends the image's entry with 78 and a FATAL line", async () => {
  const dataDir = join(dir, "tree/main.js/data");
  const started = run(
    "sh",
    [join(workerDir, "image/entry.sh"), process.execPath, "-e", "console.log('ran')"],
    {
      env: { PATH: process.env["PATH"] ?? "", DATA_DIR: dataDir, WORKER_USER: "nobody" },
    },
  );
  // Only root gives anything to anybody; whoever else starts the image is left as they are.
  if (process.getuid?.() === 0) {
    await expect(started).rejects.toMatchObject({
      code: 78,
      stderr: expect.stringContaining(`FATAL DATA_DIR ${dataDir} cannot be given to nobody`),
    });
  } else {
    expect((await started).stdout).toBe("ran\n");
  }
});

test("the image's entry knows nothing of crash points", async () => {
  expect(await readFile(join(dir, "tree/main.js"), "utf8")).not.toContain("WORKER_CRASH_AT");
});

test("the base is pinned by its digest, and its Node is the one that everything else here runs on", async () => {
  const dockerfile = await readFile(join(workerDir, "Dockerfile"), "utf8");
  const { devDependencies } = JSON.parse(await readFile(join(repositoryDir, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const [, version] =
    /^ARG NODE_IMAGE=docker\.io\/library\/node:([\d.]+)-bookworm-slim@sha256:[0-9a-f]{64}$/m.exec(
      dockerfile,
    ) ?? [];
  expect(version).toBe(devDependencies["node"]);
  expect(dockerfile).toMatch(/^# syntax=docker\/dockerfile:[\d.]+@sha256:[0-9a-f]{64}\n/);
});

describe("closure", () => {
  const lockfile = {
    packages: {
      w: { dependencies: { a: "1" }, devDependencies: { d: "1" } },
      "node_modules/a": { dependencies: { b: "1" }, optionalDependencies: { absent: "1" } },
      "node_modules/a/node_modules/b": { dependencies: { c: "1" } },
      "node_modules/b": {},
      "node_modules/c": { peerDependencies: { a: "1" } },
      "node_modules/d": {},
    },
  };

  test("finds the nearest copy, follows cycles once and leaves absent optional packages out", () => {
    expect(closureOf(lockfile, "w")).toEqual([
      "node_modules/a",
      "node_modules/a/node_modules/b",
      "node_modules/c",
    ]);
    expect(closureOf(lockfile, "w", { dev: true })).toContain("node_modules/d");
  });

  test("openclaw's own is found in the repository's lockfile", () => {
    expect(closureOf(readLockfile(), "node_modules/openclaw").length).toBeGreaterThan(100);
  });
});
