/** Bounds of one conversation's state. Beyond them a file is left out and reported, never half stored. */
export const snapshotLimits = {
  /** Files of one conversation. With the reserved ones each is a row of the manifest, which must fit into one document. */
  filesMax: 900,
  /** Files of the worker's own: pieces of the transcript, and the profile record. */
  reservedFilesMax: 100,
  /** Bytes of one file. */
  fileBytesMax: 16 * 1024 * 1024,
  /** Bytes of all files together. */
  totalBytesMax: 64 * 1024 * 1024,
  /** UTF-8 bytes of one path. */
  pathBytesMax: 512,
  /** Folders below each other. */
  depthMax: 16,
} as const;

/** Entries of a manifest that are not files of the folder. The folder's own `.factory` is never stored. */
export const RESERVED_DIR = ".factory";
export const TRANSCRIPT_DIR = `${RESERVED_DIR}/transcript`;
/** Templates last written for the profile, so that what the agent changed is recognised. */
export const PROFILE_PATH = `${RESERVED_DIR}/profile.json`;

/** Scratch space of the engine, and skills, which come from the image alone. */
const ignoredDirs: ReadonlySet<string> = new Set([
  RESERVED_DIR,
  ".openclaw",
  ".agents",
  "skills",
  "node_modules",
]);

export function isIgnoredDir(relativePath: string): boolean {
  return ignoredDirs.has(relativePath);
}

/**
 * What is wrong with a path of a manifest, or null. A manifest comes from outside this machine: a path may name
 * only a file below the conversation's folder.
 */
export function pathProblem(path: string): string | null {
  if (path === "" || Buffer.byteLength(path) > snapshotLimits.pathBytesMax) return "has a bad length";
  if (path.includes("\0") || path.includes("\\")) return "contains a forbidden character";
  const segments = path.split("/");
  if (segments.length > snapshotLimits.depthMax) return "is too deep";
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "is not a plain relative path";
  }
  return null;
}
