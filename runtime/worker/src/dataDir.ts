/**
 * The folder that this worker owns, wiped whole: commands of an agent may have written anywhere in it. A marker says
 * that it is a worker's, so that a wrong DATA_DIR costs nobody's files.
 */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const MARKER = ".agent-factory-worker";
/** A new volume's own folder, which belongs to root. */
const harmless: ReadonlySet<string> = new Set(["lost+found"]);
/** What workers left on volumes before there was a marker. */
const unmarked: ReadonlySet<string> = new Set(["run", "conversations", "cache"]);

/**
 * Takes the folder, or takes it again after a restart, and empties it.
 *
 * @throws when it holds what no worker put there, or cannot be written.
 */
export async function takeDataDir(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const names = await readdir(dir);
  const foreign = names.filter((name) => !harmless.has(name) && !unmarked.has(name));
  if (foreign.length > 0 && !names.includes(MARKER)) {
    throw new Error(
      `DATA_DIR holds ${foreign.length} entries that no worker put there. Give the worker a folder of its own.`,
    );
  }
  await writeFile(join(dir, MARKER), "").catch((error: unknown) => {
    throw new Error(
      `DATA_DIR cannot be written by this worker's user (${String(error)}). Mount a folder that can.`,
      {
        cause: error,
      },
    );
  });
  await emptyDataDir(dir, []);
}

/** Removes everything but the marker and what is named. */
export async function emptyDataDir(dir: string, kept: readonly string[]): Promise<void> {
  for (const name of await readdir(dir)) {
    if (name === MARKER || harmless.has(name) || kept.includes(name)) continue;
    await rm(join(dir, name), { recursive: true, force: true });
  }
}
