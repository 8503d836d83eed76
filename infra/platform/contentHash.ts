/** Hash of files: the trigger that decides whether something is deployed again. */
import * as crypto from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

/**
 * SHA-256 (hex) over relative paths and contents of all files below `folders` (relative to `root`) whose path
 * passes `keep`, in a fixed order. Single files may be named as well.
 */
export function contentHash(root: string, folders: string[], keep: (file: string) => boolean): string {
  const files: string[] = [];
  for (const folder of folders) {
    const start = path.join(root, folder);
    if (fs.statSync(start).isFile()) {
      files.push(folder);
      continue;
    }
    for (const entry of fs.readdirSync(start, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join("/");
      if (keep(file)) files.push(file);
    }
  }
  const hash = crypto.createHash("sha256");
  for (const file of [...new Set(files)].sort()) {
    const content = crypto
      .createHash("sha256")
      .update(fs.readFileSync(path.join(root, file)))
      .digest("hex");
    hash.update(`${file}\0${content}\n`);
  }
  return hash.digest("hex");
}
