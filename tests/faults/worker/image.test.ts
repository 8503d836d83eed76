/** The tree of an image, with its pruned copy of OpenClaw, boots, answers and writes nothing into itself. */
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildTree } from "../../../runtime/worker/image/buildTree.ts";
import { createEngine } from "../../../runtime/worker/src/agent/engine.ts";
import { readImageTree } from "../../../runtime/worker/src/imageTree.ts";
import { startTestModel, type TestModel } from "../../../runtime/worker/testing/model.ts";
import { testConfig } from "../../../runtime/worker/testing/worker.ts";

let dir: string;
let model: TestModel;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-image-"));
  model = await startTestModel(() => ({ kind: "text", text: "ready" }));
  await buildTree({ outDir: join(dir, "tree"), openclaw: "copy" });
}, 120_000);
afterAll(async () => {
  await model?.close();
  await rm(dir, { recursive: true });
});

/** Size and latest change of a folder's files, but for those below `without`. */
async function measure(
  root: string,
  without?: string,
): Promise<{ files: number; bytes: number; changedAt: number }> {
  const total = { files: 0, bytes: 0, changedAt: 0 };
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || (without !== undefined && entry.parentPath.startsWith(without))) continue;
    const { size, mtimeMs } = await stat(join(entry.parentPath, entry.name));
    total.files += 1;
    total.bytes += size;
    total.changedAt = Math.max(total.changedAt, mtimeMs);
  }
  return total;
}

test("every file may be read by whoever runs it, and changed by its owner alone", async () => {
  const modes = new Map<string, string>();
  for (const entry of await readdir(join(dir, "tree"), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const { mode } = await stat(join(entry.parentPath, entry.name));
    if ((mode & 0o004) === 0 || (mode & 0o022) !== 0)
      modes.set(join(entry.parentPath, entry.name).slice(dir.length), (mode & 0o777).toString(8));
  }
  expect([...modes].slice(0, 5)).toEqual([]);
});

test("the pruned tree boots, answers its probe turn and stays as it was built", async () => {
  const image = await readImageTree(join(dir, "tree"));
  expect(image.openclawDir.startsWith(dir)).toBe(true);
  const cacheDir = image.compileCache.dir;
  const before = await measure(join(dir, "tree"), cacheDir);
  const cached = await measure(cacheDir);
  const engine = createEngine(
    {
      openclawDir: image.openclawDir,
      runDir: join(dir, "run"),
      pluginSourceDir: image.pluginDir,
      models: testConfig(dir, model.url).models,
      turnTimeoutSeconds: 60,
      compileCache: image.compileCache,
      bootTimeoutMs: 150_000,
    },
    { onRestart: () => undefined, onLost: () => undefined },
  );
  try {
    const { gatewayBootMs, probeTurnMs } = await engine.start();
    expect(model.requests).toHaveLength(1);
    console.info(
      `image tree: ${Math.round(before.bytes / 1e6)} MB in ${before.files} files, boot ${gatewayBootMs} ms, probe turn ${probeTurnMs} ms`,
    );
  } finally {
    await engine.stop();
  }
  expect(await measure(join(dir, "tree"), cacheDir)).toEqual(before);
  // What was compiled when the tree was built was read: this boot, which may write here, had next to nothing to add.
  expect(cached.files).toBeGreaterThan(1_000);
  expect((await measure(cacheDir)).files - cached.files).toBeLessThan(cached.files / 50);
  // A third of what npm installs: nothing that a headless gateway never opens came back.
  expect(before.bytes).toBeLessThan(250e6);
}, 240_000);

test("its bill of materials lists what it holds: each package that was copied or bundled, and no other", async () => {
  const bill = JSON.parse(await readFile(join(dir, "tree/sbom.spdx.json"), "utf8")) as {
    spdxVersion: string;
    packages: Array<{ name: string; versionInfo: string }>;
  };
  const copied = new Set<string>();
  for (const entry of await readdir(join(dir, "tree/node_modules"), {
    recursive: true,
    withFileTypes: true,
  })) {
    if (entry.name !== "package.json" || !/node_modules\/(@[^/]+\/)?[^/@]+$/.test(entry.parentPath)) continue;
    const { name, version } = JSON.parse(
      await readFile(join(entry.parentPath, entry.name), "utf8"),
    ) as Record<string, string>;
    copied.add(`${name}@${version}`);
  }
  const listed = bill.packages.map(({ name, versionInfo }) => `${name}@${versionInfo}`);
  expect(bill.spdxVersion).toBe("SPDX-2.3");
  const besides = listed.filter((name) => !copied.has(name));
  expect([...copied].filter((name) => !listed.includes(name))).toEqual([]);
  // This repository, and what is inside the worker's bundle alone.
  const names = besides.map((name) => name.slice(0, name.lastIndexOf("@")));
  expect(names).toEqual(expect.arrayContaining(["agent-factory", "convex", "pino"]));
  expect(names.filter((name) => /playwright|typescript|trycua|chrome-devtools|esbuild/.test(name))).toEqual(
    [],
  );
});
