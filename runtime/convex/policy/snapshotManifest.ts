/** What a conversation's snapshot may look like. The worker keeps to it; a forged one is refused. */

export interface ManifestFile {
  path: string;
  sha256: string;
  sizeBytes: number;
}

export const manifestLimits = {
  /** Files of one snapshot: the manifest must fit into one document of 1 MiB. */
  filesMax: 1_002,
  /** Bytes of one file, before encoding. */
  fileBytesMax: 32 * 1024 * 1024,
  /** Bytes of all files, before encoding. */
  totalBytesMax: 128 * 1024 * 1024,
  /** UTF-8 bytes of one path. */
  pathBytesMax: 512,
  /** UTF-8 bytes of all paths, so that the longest paths cannot fill the document. */
  pathsBytesMax: 400_000,
  depthMax: 16,
} as const;

/** The first thing that is wrong with a manifest, naming the file; null when it may be stored. */
export function manifestProblem(files: readonly ManifestFile[]): string | null {
  if (files.length > manifestLimits.filesMax) {
    return `files: ${files.length} files, at most ${manifestLimits.filesMax} are allowed`;
  }
  const paths = new Set<string>();
  let totalBytes = 0;
  let pathsBytes = 0;
  for (const { path, sha256, sizeBytes } of files) {
    const problem = pathProblem(path);
    if (problem !== null) return `files: path ${JSON.stringify(path.slice(0, 80))} ${problem}`;
    if (paths.has(path)) return `files: path ${JSON.stringify(path)} is listed twice`;
    if (!/^[0-9a-f]{64}$/.test(sha256))
      return `files: sha256 of ${JSON.stringify(path)} must be 64 hex digits`;
    if (!Number.isInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > manifestLimits.fileBytesMax) {
      return `files: sizeBytes of ${JSON.stringify(path)} must be 0..${manifestLimits.fileBytesMax}`;
    }
    paths.add(path);
    totalBytes += sizeBytes;
    pathsBytes += utf8Bytes(path);
  }
  if (totalBytes > manifestLimits.totalBytesMax) {
    return `files: ${totalBytes} bytes, at most ${manifestLimits.totalBytesMax} are allowed`;
  }
  if (pathsBytes > manifestLimits.pathsBytesMax) return `files: the paths take ${pathsBytes} bytes`;
  return null;
}

/** What is wrong with a path, or null: only plain relative POSIX paths name a file of the conversation. */
export function pathProblem(path: string): string | null {
  if (path === "" || utf8Bytes(path) > manifestLimits.pathBytesMax) return "has a bad length";
  if (/[\0\\]/.test(path)) return "contains a forbidden character";
  const segments = path.split("/");
  if (segments.length > manifestLimits.depthMax) return "is too deep";
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "is not a plain relative path";
  }
  return null;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
