/**
 * Writes a runnable worker tree: the same one that the image holds.
 *
 *   node runtime/worker/image/buildTree.ts --out DIR [--openclaw link|copy]
 *
 * `link` (the default) names the installed openclaw package by its absolute path, for machines that are processes
 * of this computer; `copy` puts a pruned copy into the tree, for an image.
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { bundlePlugin, bundleWorker, workerDir } from "./bundle.ts";
import { hashContext, repositoryDir } from "./context.ts";
import { fillCompileCache } from "./compileCache.ts";
import { copyOpenclaw, openclawPath } from "./openclawTree.ts";
import { writeSbom } from "./sbom.ts";
import { hashSkills } from "./skills.ts";

export { hashContext } from "./context.ts";

const COMPILE_CACHE = "compile-cache";
/** Filled by the first gateway that ends by itself; where tools keep what may be deleted at any time. */
const SHARED_COMPILE_CACHE = "node_modules/.cache/agent-factory-openclaw";

export interface BuildOptions {
  outDir: string;
  openclaw: "link" | "copy";
  /** Another entry than the image's own, for tests. */
  entry?: string;
}

/** Contents of `image.json`. */
export interface ImageRecord {
  contextHash: string;
  sourceRevision: string | null;
  /** Folder of the openclaw package: absolute, or relative to the tree. */
  openclawDir: string;
  /** Compiled code: made by this build in the tree, or shared by all trees of this computer. */
  compileCacheDir: string;
}

/** Builds the tree into `outDir`, which is emptied first. */
export async function buildTree({ outDir, openclaw, entry }: BuildOptions): Promise<ImageRecord> {
  const skills = await hashSkills(join(workerDir, "skills"));
  await mkdir(outDir, { recursive: true });
  // The folder itself stays: who may write in it need not own the one above it.
  for (const name of await readdir(outDir)) await rm(join(outDir, name), { recursive: true });
  const bundled = [
    ...(await bundleWorker(join(outDir, "main.js"), entry)),
    ...(await bundlePlugin(join(outDir, "plugin"))),
  ];
  for (const name of Object.keys(skills)) {
    await cp(join(workerDir, "skills", name), join(outDir, "skills", name), { recursive: true });
  }
  await mkdir(join(outDir, "skills"), { recursive: true });
  if (openclaw === "copy") {
    const copied = await copyOpenclaw(outDir);
    await writeSbom(join(outDir, "sbom.spdx.json"), new Set([...bundled, ...copied]));
    await fillCompileCache({
      openclawDir: join(outDir, openclawPath),
      pluginDir: join(outDir, "plugin"),
      cacheDir: join(outDir, COMPILE_CACHE),
    });
  }
  const record: ImageRecord = {
    contextHash: hashContext(),
    sourceRevision: sourceRevision(),
    openclawDir: openclaw === "copy" ? openclawPath : join(repositoryDir, openclawPath),
    compileCacheDir: openclaw === "copy" ? COMPILE_CACHE : join(repositoryDir, SHARED_COMPILE_CACHE),
  };
  await writeJson(join(outDir, "skills.json"), skills);
  await writeJson(join(outDir, "image.json"), record);
  await writeJson(join(outDir, "package.json"), {
    name: "agent-factory-worker",
    private: true,
    type: "module",
  });
  return record;
}

/** The commit that the sources come from: given by CI, else asked of git, else unknown. */
function sourceRevision(): string | null {
  const given = process.env["SOURCE_REVISION"];
  if (given) return given;
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], {
      cwd: repositoryDir,
      stdio: ["ignore", "pipe", "ignore"],
    })
      .toString()
      .trim();
  } catch {
    return null; // Built from an archive without history.
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      openclaw: { type: "string", default: "link" },
      /** Prints the hash of what decides the tree, and builds nothing: the stack's trigger. */
      "print-hash": { type: "boolean", default: false },
    },
  });
  if (values["print-hash"]) {
    process.stdout.write(`${hashContext()}\n`);
  } else if (values.out === undefined || (values.openclaw !== "link" && values.openclaw !== "copy")) {
    console.error(
      "Usage: node runtime/worker/image/buildTree.ts --out DIR [--openclaw link|copy] | --print-hash",
    );
    process.exitCode = 2;
  } else {
    const record = await buildTree({ outDir: resolve(values.out), openclaw: values.openclaw });
    process.stdout.write(`${JSON.stringify(record)}\n`);
  }
}
