/** Reads a conversation's folder: regular files only, in a stable order, within bounds. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isIgnoredDir, pathProblem, snapshotLimits } from "./limits.ts";

export interface FolderFile {
  /** Relative POSIX path. */
  path: string;
  sha256: string;
  content: Buffer;
}

export interface FolderScan {
  files: FolderFile[];
  /** Left out, with the reason: reported, since it will be missing after a move. */
  skipped: Array<{ path: string; reason: string }>;
}

export function sha256Hex(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Links, devices and sockets are never followed: they could name another conversation's file. */
export async function scanFolder(root: string): Promise<FolderScan> {
  const scan: FolderScan = { files: [], skipped: [] };
  const pending = [""];
  let totalBytes = 0;
  for (let dir = pending.shift(); dir !== undefined; dir = pending.shift()) {
    const entries = await readdir(join(root, dir), { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const path = dir === "" ? entry.name : `${dir}/${entry.name}`;
      const problem = pathProblem(path);
      if (problem !== null) scan.skipped.push({ path, reason: problem });
      else if (entry.isDirectory()) {
        if (!isIgnoredDir(path)) pending.push(path);
      } else if (!entry.isFile()) scan.skipped.push({ path, reason: "is a link or special file" });
      else if (scan.files.length >= snapshotLimits.filesMax)
        scan.skipped.push({ path, reason: "is one file too many" });
      else {
        const content = await readRegularFile(join(root, path));
        if (content === null) scan.skipped.push({ path, reason: "is too large, linked or gone" });
        else if (totalBytes + content.length > snapshotLimits.totalBytesMax) {
          scan.skipped.push({ path, reason: "exceeds the folder's total size" });
        } else {
          totalBytes += content.length;
          scan.files.push({ path, sha256: sha256Hex(content), content });
        }
      }
    }
  }
  return scan;
}

/** null when the file is not a single, regular file of acceptable size at the moment of reading. */
export async function readRegularFile(path: string): Promise<Buffer | null> {
  try {
    // O_NOFOLLOW: the entry may have become a link since it was listed.
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat();
      if (!stats.isFile() || stats.nlink > 1 || stats.size > snapshotLimits.fileBytesMax) return null;
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ELOOP" || code === "ENXIO") return null;
    throw error;
  }
}
