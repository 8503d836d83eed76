/**
 * Brings a snapshot into a fresh folder. Everything is fetched and verified in memory before the first byte is
 * written, so a truncated, swapped or hostile snapshot leaves nothing behind.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { SnapshotForRestore } from "../../../convex/validators.ts";
import { insist } from "../insist.ts";
import { decodeBlob } from "./codec.ts";
import { sha256Hex } from "./folder.ts";
import { pathProblem, RESERVED_DIR, snapshotLimits } from "./limits.ts";

/** The snapshot cannot be used. Its text is part of the contract. */
export class RestoreError extends Error {
  override name = "RestoreError";
}

const FETCHES_AT_ONCE = 6;
const FETCH_TIMEOUT_MS = 30_000;
/** About ten seconds of trying: longer than a deployment takes to come back. */
const FETCH_ATTEMPTS_MAX = 8;

/**
 * Restores `snapshot` below `folder`, which must be empty.
 *
 * @returns content of the reserved entries (transcript, profile record) by path; they are never written.
 * @throws {RestoreError} `restore checksum mismatch: <path>` and the like; nothing was written then.
 */
export async function restoreSnapshot(
  snapshot: SnapshotForRestore,
  folder: string,
  signal: AbortSignal,
): Promise<Map<string, Buffer>> {
  checkManifest(snapshot);
  const contents = new Map<string, Buffer>();
  const queue = [...snapshot.files];
  const lanes = Array.from({ length: Math.min(FETCHES_AT_ONCE, queue.length) }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const content = await insist(() => fetchVerified(file, signal), {
        // What arrived and is wrong stays wrong; a connection that broke says nothing about the file.
        mayPass: (error) => !(error instanceof RestoreError),
        signal,
        attemptsMax: FETCH_ATTEMPTS_MAX,
      });
      contents.set(file.path, content);
    }
  });
  await Promise.all(lanes);

  const reserved = new Map<string, Buffer>();
  for (const [path, content] of contents) {
    if (path.startsWith(`${RESERVED_DIR}/`)) {
      reserved.set(path, content);
      continue;
    }
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    await writeFile(target, content, { mode: 0o600, flag: "wx" });
  }
  return reserved;
}

function checkManifest(snapshot: SnapshotForRestore): void {
  if (snapshot.files.length > snapshotLimits.filesMax + snapshotLimits.reservedFilesMax)
    throw new RestoreError("restore refused: too many files");
  const seen = new Set<string>();
  let totalBytes = 0;
  for (const { path, sizeBytes } of snapshot.files) {
    const problem = pathProblem(path);
    if (problem !== null) throw new RestoreError(`restore refused: ${JSON.stringify(path)} ${problem}`);
    if (seen.has(path)) throw new RestoreError(`restore refused: ${JSON.stringify(path)} is listed twice`);
    seen.add(path);
    totalBytes += sizeBytes;
  }
  for (const path of seen) {
    for (let parent = dirname(path); parent !== "."; parent = dirname(parent)) {
      if (seen.has(parent))
        throw new RestoreError(`restore refused: ${JSON.stringify(parent)} is a file and a folder`);
    }
  }
  // Twice the folder's limit: the transcript comes on top.
  if (totalBytes > snapshotLimits.totalBytesMax * 2)
    throw new RestoreError("restore refused: too many bytes");
}

async function fetchVerified(
  file: SnapshotForRestore["files"][number],
  signal: AbortSignal,
): Promise<Buffer> {
  const response = await fetch(file.url, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new RestoreError(`restore failed: ${file.path} could not be fetched (status ${response.status})`);
  }
  const body = await readAtMost(response, file.sizeBytes);
  if (body === null) throw new RestoreError(`restore checksum mismatch: ${file.path}`);
  const content = await decodeBlob(body, file.encoding, file.sizeBytes).catch(() => null);
  if (content === null || content.length !== file.sizeBytes || sha256Hex(content) !== file.sha256) {
    throw new RestoreError(`restore checksum mismatch: ${file.path}`);
  }
  return content;
}

/** null when there is more: no blob travels larger than its content (codec.ts), so it is not the promised one. */
async function readAtMost(response: Response, bytesMax: number): Promise<Buffer | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
