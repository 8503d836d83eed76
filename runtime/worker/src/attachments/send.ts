/** Files that the agent put into `outbox/`: uploaded before `complete` names them, then kept in `sent/`. */
import { lstat, readdir, rename } from "node:fs/promises";
import { extname, join } from "node:path";
import type { Answer, LeaseRef } from "../../../convex/validators.ts";
import type { WorkerBackend } from "../backend/backend.ts";
import { readRegularFile } from "../snapshot/folder.ts";
import { snapshotLimits } from "../snapshot/limits.ts";
import { ensureRealDir, isRealDir } from "../snapshot/realDir.ts";
import { uploadBlob } from "../snapshot/upload.ts";
import { safeFileName } from "./names.ts";

const OUTBOX = "outbox";
const SENT = "sent";
/** What is too large to be sent goes here, so that the person is told of it once. */
const UNSENT = "unsent";
/** Files of one answer; the rest stays in the outbox for the next one. */
const FILES_MAX = 10;

export interface OutgoingFile {
  fileName: string;
  mimeType: string;
  content: Buffer;
}

const mimeTypes: Record<string, string> = {
  ".csv": "text/csv",
  ".gif": "image/gif",
  ".html": "text/html",
  ".jpeg": "image/jpeg",
  ".jpg": "image/jpeg",
  ".json": "application/json",
  ".md": "text/markdown",
  ".mp3": "audio/mpeg",
  ".mp4": "video/mp4",
  ".ogg": "audio/ogg",
  ".pdf": "application/pdf",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
  ".webp": "image/webp",
  ".zip": "application/zip",
};

export interface Outbox {
  files: OutgoingFile[];
  /** Names of files that are too large to be sent. */
  tooLarge: string[];
}

/**
 * Takes the files out of the outbox. They move to `sent/` before the snapshot is made, so that a restored
 * conversation does not send them again; a turn that fails is restored from the state before it.
 */
export async function takeOutbox(folder: string): Promise<Outbox> {
  const outbox = join(folder, OUTBOX);
  const entries = (await isRealDir(outbox)) ? await readdir(outbox, { withFileTypes: true }) : [];
  const files: OutgoingFile[] = [];
  const tooLarge: string[] = [];
  const moveTo = async (dir: string, name: string): Promise<void> => {
    await ensureRealDir(join(folder, dir));
    await rename(join(outbox, name), join(folder, dir, name));
  };
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isFile() || files.length === FILES_MAX) continue;
    const fileName = safeFileName(entry.name, "file");
    const content = await readRegularFile(join(outbox, entry.name));
    if (content === null && (await isTooLarge(join(outbox, entry.name)))) {
      await moveTo(UNSENT, entry.name);
      tooLarge.push(fileName);
    }
    if (content === null || content.length === 0) continue;
    await moveTo(SENT, entry.name);
    files.push({
      fileName,
      mimeType: mimeTypes[extname(fileName).toLowerCase()] ?? "application/octet-stream",
      content,
    });
  }
  return { files, tooLarge };
}

async function isTooLarge(path: string): Promise<boolean> {
  const stats = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null; // The agent's own command may have taken it away.
    throw error;
  });
  return stats !== null && stats.isFile() && stats.size > snapshotLimits.fileBytesMax;
}

/** The agent's words, and what the person would otherwise wait for in vain. */
export function withUnsent(text: string, tooLarge: readonly string[]): string {
  if (tooLarge.length === 0) return text;
  const limitMb = snapshotLimits.fileBytesMax / 1024 / 1024;
  const note = `(Not sent, since larger than ${limitMb} MB: ${tooLarge.join(", ")})`;
  return text.trim() === "" ? note : `${text}\n\n${note}`;
}

/** Uploads the files. @returns null when the lease is lost. */
export async function uploadFiles(
  backend: WorkerBackend,
  lease: LeaseRef,
  files: readonly OutgoingFile[],
  signal: AbortSignal,
): Promise<Answer["files"] | null> {
  if (files.length === 0) return [];
  const urls = await backend.prepareAnswerFiles(lease, files.length);
  if (urls.length < files.length) return null;
  const uploaded: NonNullable<Answer["files"]> = [];
  for (const [index, { fileName, mimeType, content }] of files.entries()) {
    const url = urls[index];
    if (url === undefined) return null;
    const storageId = await uploadBlob(url, content, signal, mimeType);
    uploaded.push({
      storageId: storageId as NonNullable<Answer["files"]>[number]["storageId"],
      fileName,
      mimeType,
    });
  }
  return uploaded;
}
