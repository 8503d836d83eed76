/**
 * `node runtime/client/build.ts [--out DIR]`: writes the package as npm publishes it, JavaScript and types with a
 * package.json of its own. In this repository the sources are imported as they are, which Node allows outside of
 * node_modules only. Publish with `npm publish runtime/client/dist`.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..", "..");
const { values } = parseArgs({ options: { out: { type: "string", default: join(here, "dist") } } });
const out = resolve(values.out);

rmSync(out, { recursive: true, force: true });
const tsc = join(root, "node_modules", "@typescript", "native", "bin", "tsc");
execFileSync(process.execPath, [tsc, "-p", join(here, "tsconfig.build.json"), "--outDir", out], {
  stdio: "inherit",
});
// `private` keeps the sources from being published by mistake; the built package is meant for it, and has no sources
// for the scripts to run.
const {
  private: _private,
  scripts: _scripts,
  ...manifest
} = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as Record<string, unknown>;
const published = {
  ...manifest,
  exports: { ".": { types: "./index.d.ts", default: "./index.js" } },
  engines: { node: ">=20.3" },
  sideEffects: false,
  // npm keeps scoped packages private unless told otherwise.
  publishConfig: { access: "public" },
};
writeFileSync(join(out, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
copyFileSync(join(root, "LICENSE"), join(out, "LICENSE"));
copyFileSync(join(here, "README.md"), join(out, "README.md"));
// To read: the README points there.
mkdirSync(join(out, "example"));
copyFileSync(join(here, "example", "server.ts"), join(out, "example", "server.ts"));
