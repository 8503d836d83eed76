/**
 * OpenClaw for an image: the package with what it needs at run time, without what a headless gateway never opens.
 * The list was found by booting the remainder and running turns on it; `tests/faults/worker/image.test.ts` does that again.
 */
import { existsSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readLockfile, repositoryDir } from "./context.ts";
import { closureOf } from "./lockfile.ts";

export const openclawPath = "node_modules/openclaw";

/** Packages of features that are switched off: desktop control, browser control, compilers. */
const leftOutPackages = [
  /(^|\/)node_modules\/@trycua\//,
  /(^|\/)node_modules\/playwright-core$/,
  /(^|\/)node_modules\/chrome-devtools-mcp$/,
  /(^|\/)node_modules\/typescript$/,
];
/** Paths inside the openclaw package that only people, the web page or other computers read. */
const leftOutOfOpenclaw = [
  /^docs(\/|$)/,
  /^dist\/control-ui(\/|$)/,
  // What a gateway sends to computers that it drives from afar, 100 MB: it opens none of these itself.
  /^dist\/worker\/[^/]+\.mjs$/,
  /^CHANGELOG\.md$/,
  /^README\.md$/,
];
/** Anywhere: sources for debuggers and type checkers. */
const leftOutFiles = /\.(map|d\.ts|d\.mts|d\.cts)$/;

/** Copies the pruned tree to `<outDir>/node_modules`. @returns the packages copied, by path in the repository. */
export async function copyOpenclaw(outDir: string): Promise<string[]> {
  const packages = [openclawPath, ...closureOf(readLockfile(), openclawPath)].filter(
    (path) => !leftOutPackages.some((pattern) => pattern.test(path)) && existsSync(join(repositoryDir, path)),
  );
  for (const path of packages) {
    const source = join(repositoryDir, path);
    await mkdir(dirname(join(outDir, path)), { recursive: true });
    await cp(source, join(outDir, path), {
      recursive: true,
      filter: (file) => keeps(file.slice(source.length + 1), path),
    });
  }
  return packages;
}

function keeps(relativePath: string, packagePath: string): boolean {
  // Nested packages are entries of the closure themselves.
  if (relativePath === "node_modules" || relativePath.startsWith("node_modules/")) return false;
  if (leftOutFiles.test(relativePath)) return false;
  return packagePath !== openclawPath || !leftOutOfOpenclaw.some((pattern) => pattern.test(relativePath));
}
