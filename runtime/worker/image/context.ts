/** What decides the image: sources, skills, plugin, build, and the exact packages that go into it. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { closureOf, type Lockfile } from "./lockfile.ts";

const workerDir = dirname(dirname(fileURLToPath(import.meta.url)));
export const repositoryDir = dirname(dirname(workerDir));

const parts = ["src", "plugin", "skills", "image", "Dockerfile", "package.json"];
/** Shapes shared with the backend: a change of the contract is a change of the worker. */
const shared = ["runtime/convex/validators.ts"];

export function readLockfile(): Lockfile {
  return JSON.parse(readFileSync(join(repositoryDir, "package-lock.json"), "utf8")) as Lockfile;
}

/** SHA-256 (hex) of everything that decides the tree: equal hashes mean equal images. */
export function hashContext(): string {
  const hash = createHash("sha256");
  const files = [
    ...parts.flatMap((part) => filesBelow(join(workerDir, part))),
    ...shared.map((path) => join(repositoryDir, path)),
  ];
  for (const file of files.sort()) {
    const content = readFileSync(file);
    hash.update(`${relative(repositoryDir, file).split(sep).join("/")}\0${content.length}\0`).update(content);
  }
  const lockfile = readLockfile();
  for (const path of closureOf(lockfile, "runtime/worker", { dev: true })) {
    const entry = lockfile.packages[path];
    hash.update(`${path}\0${entry?.version ?? ""}\0${entry?.integrity ?? ""}\0`);
  }
  return hash.digest("hex");
}

function filesBelow(path: string): string[] {
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return [path];
    throw error;
  }
  return entries.flatMap((entry) => {
    if (entry.isDirectory()) return filesBelow(join(path, entry.name));
    return entry.isFile() && !entry.name.endsWith(".test.ts") ? [join(path, entry.name)] : [];
  });
}
