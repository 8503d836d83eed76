/**
 * The tree's bill of materials, in SPDX: what npm says of the lockfile, less what the tree does not hold. Neither
 * packages of other platforms nor those that were left out are in it, and what is bundled into one file is.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { readLockfile, repositoryDir } from "./context.ts";

/** The part of SPDX 2.3 that is read here. */
interface Sbom {
  packages: Array<{ SPDXID: string; name: string; versionInfo: string; packageFileName?: string }>;
  relationships: Array<{ spdxElementId: string; relatedSpdxElement: string; relationshipType: string }>;
}

const run = promisify(execFile);
/** npm's answer is about 350 kB. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Writes the bill of what is held.
 *
 * @param held paths in the lockfile, such as `node_modules/zod`.
 * @throws when npm fails, or does not know a package that is held.
 */
export async function writeSbom(outFile: string, held: ReadonlySet<string>): Promise<void> {
  // From the lockfile alone: npm refuses a folder in which only one workspace is installed. With what is for
  // development, since npm would also omit what the worker shares with it.
  const args = ["sbom", "--package-lock-only", "--workspace", "runtime/worker", "--sbom-format", "spdx"];
  const { stdout } = await run("npm", args, { cwd: repositoryDir, maxBuffer: OUTPUT_BYTES_MAX });
  const sbom = JSON.parse(stdout) as Sbom;
  const lockfile = readLockfile();
  // npm lists a version once, wherever and however often it is installed.
  const wanted = new Set(
    [...held].map((path) => `${path.split("node_modules/").at(-1)}@${lockfile.packages[path]?.version}`),
  );
  const found = sbom.packages.filter(({ name, versionInfo }) => wanted.delete(`${name}@${versionInfo}`));
  if (wanted.size > 0) throw new Error(`npm's bill of materials lacks ${[...wanted].sort().join(", ")}`);
  // What the document describes is this repository itself.
  const packages = [...sbom.packages.filter(({ packageFileName }) => packageFileName === ""), ...found];
  const ids = new Set(["SPDXRef-DOCUMENT", ...packages.map(({ SPDXID }) => SPDXID)]);
  const relationships = sbom.relationships.filter(
    (relationship) => ids.has(relationship.spdxElementId) && ids.has(relationship.relatedSpdxElement),
  );
  await writeFile(outFile, `${JSON.stringify({ ...sbom, packages, relationships }, null, 2)}\n`);
}
