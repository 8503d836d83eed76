/** Bundles the worker and the plugin: one file each, so that an image carries no source tree and few packages. */
import { build, type BuildOptions } from "esbuild";
import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { repositoryDir } from "./context.ts";

export const workerDir = dirname(dirname(fileURLToPath(import.meta.url)));

// CommonJS packages inside an ES module bundle still call require for Node's own modules.
const requireBanner =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/**
 * Writes `<outFile>`: the worker as one ES module.
 *
 * @returns the packages that went into it, by path in the repository.
 */
export async function bundleWorker(
  outFile: string,
  entry = join(workerDir, "src/main.ts"),
): Promise<string[]> {
  return await bundle({ entryPoints: [entry], outfile: outFile, banner: { js: requireBanner } });
}

/**
 * Writes the plugin's `index.js` and `package.json`; OpenClaw's own modules are resolved at run time.
 *
 * @returns the packages that went into it, by path in the repository.
 */
export async function bundlePlugin(outDir: string): Promise<string[]> {
  await mkdir(outDir, { recursive: true });
  await cp(join(workerDir, "plugin/package.json"), join(outDir, "package.json"));
  return await bundle({
    entryPoints: [join(workerDir, "plugin/index.ts")],
    outfile: join(outDir, "index.js"),
    external: ["openclaw/*"],
  });
}

async function bundle(options: BuildOptions): Promise<string[]> {
  const { metafile } = await build({
    ...options,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    legalComments: "none",
    logLevel: "error",
    metafile: true,
    // The same bytes wherever it is called from, and in the image's build, which has no tsconfig.json.
    absWorkingDir: repositoryDir,
    tsconfigRaw: {},
  });
  const packages = Object.keys(metafile.inputs).map(
    (file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0],
  );
  return [...new Set(packages)].filter((path) => path !== undefined).sort();
}
