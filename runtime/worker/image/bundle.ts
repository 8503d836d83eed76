/** Bundles the worker and the plugin: one file each, so that an image carries no source tree and few packages. */
import { build } from "esbuild";
import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const workerDir = dirname(dirname(fileURLToPath(import.meta.url)));

// CommonJS packages inside an ES module bundle still call require for Node's own modules.
const requireBanner =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/** Writes `<outFile>`: the worker as one ES module. */
export async function bundleWorker(outFile: string, entry = join(workerDir, "src/main.ts")): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile: outFile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    banner: { js: requireBanner },
    legalComments: "none",
    logLevel: "error",
  });
}

/** Writes the plugin's `index.js` and `package.json`; OpenClaw's own modules are resolved at run time. */
export async function bundlePlugin(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true });
  await build({
    entryPoints: [join(workerDir, "plugin/index.ts")],
    outfile: join(outDir, "index.js"),
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    external: ["openclaw/*"],
    legalComments: "none",
    logLevel: "error",
  });
  await cp(join(workerDir, "plugin/package.json"), join(outDir, "package.json"));
}
