/** Folders inside a conversation's folder that the worker writes to: never through a link that took their place. */
import { lstat, mkdir, rm } from "node:fs/promises";

/** True for an existing folder; whatever else has the name, a link above all, is removed. */
export async function isRealDir(path: string): Promise<boolean> {
  const stats = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw error;
  });
  if (stats === null || stats.isDirectory()) return stats !== null;
  await rm(path, { force: true });
  return false;
}

/** Makes `path` a folder. Its parent must be one that nobody else can exchange. */
export async function ensureRealDir(path: string): Promise<void> {
  if (!(await isRealDir(path))) await mkdir(path, { recursive: true, mode: 0o700 });
}
