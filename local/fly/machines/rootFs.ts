import { constants } from "node:fs";
import {
  copyFile,
  lstat,
  mkdir,
  readdir,
  readlink,
  realpath,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, sep } from "node:path";

const OPAQUE = ".wh..wh..opq";
const WHITEOUT = ".wh.";
/** Parallel file operations within one folder. */
const BATCH = 64;

/**
 * Lays layers over each other into `target`, which must not exist. Files are copied (copy-on-write where the file
 * system can), so that nothing a machine writes reaches the layer. The exception are folders named node_modules,
 * which are linked: they are the bulk of an image and by convention never written at run time. A higher layer that
 * adds to such a folder turns the link into a folder of links first.
 */
export async function assembleRoot(layerFolders: readonly string[], target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const layer of layerFolders) await merge(layer, target, layerFolders);
}

async function merge(source: string, target: string, layers: readonly string[]): Promise<void> {
  const entries = await readdir(source, { withFileTypes: true });
  if (entries.some((entry) => entry.name === OPAQUE)) {
    await rm(target, { recursive: true, force: true });
    await mkdir(target);
  }
  for (const entry of entries) {
    if (!entry.name.startsWith(WHITEOUT) || entry.name === OPAQUE) continue;
    await rm(join(target, entry.name.slice(WHITEOUT.length)), { recursive: true, force: true });
  }
  const content = entries.filter((entry) => !entry.name.startsWith(WHITEOUT));
  for (let i = 0; i < content.length; i += BATCH) {
    await Promise.all(
      content.slice(i, i + BATCH).map(async (entry) => {
        const from = join(source, entry.name);
        const to = join(target, entry.name);
        if (entry.isDirectory()) return await mergeFolder(from, to, layers);
        await rm(to, { recursive: true, force: true });
        if (entry.isSymbolicLink()) return await symlink(await readlink(from), to);
        // Devices and sockets of an image have no meaning without a kernel of its own.
        if (entry.isFile()) await copyFile(from, to, constants.COPYFILE_FICLONE);
      }),
    );
  }
}

async function mergeFolder(from: string, to: string, layers: readonly string[]): Promise<void> {
  const existing = await lstat(to).catch(absent);
  if (existing === null && from.endsWith(`${sep}node_modules`)) return await symlink(from, to);
  if (existing?.isSymbolicLink() === true && (await isShared(to, layers))) await expand(to);
  else if (existing !== null && !existing.isDirectory()) await rm(to);
  const { mode } = await lstat(from);
  await mkdir(to, { recursive: true, mode: mode | 0o700 });
  await merge(from, to, layers);
}

async function isShared(link: string, layers: readonly string[]): Promise<boolean> {
  const target = await readlink(link);
  return layers.some((layer) => target.startsWith(layer + sep));
}

/** Replaces a link to a layer's folder by a folder of links to its entries. */
async function expand(link: string): Promise<void> {
  const shared = await readlink(link);
  await rm(link);
  await mkdir(link);
  for (const name of await readdir(shared)) await symlink(join(shared, name), join(link, name));
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}

/**
 * The place of an image's absolute path under the root, its parent folders made. Refused when a link of the image
 * leads out of the root: the emulator itself must never write elsewhere.
 */
export async function placeInRoot(root: string, guestPath: string): Promise<string> {
  const path = join(root, guestPath);
  const base = await realpath(root);
  if (!`${path}${sep}`.startsWith(`${root}${sep}`))
    throw new Error(`path ${guestPath} leads out of the machine's root`);
  // Walk down: each existing ancestor must still be inside, before anything below it is made.
  let current = root;
  for (const part of dirname(path).slice(root.length).split(sep).filter(Boolean)) {
    current = join(current, part);
    if ((await lstat(current).catch(absent)) === null) await mkdir(current);
    const real = await realpath(current);
    if (real !== base && !real.startsWith(base + sep)) {
      throw new Error(`path ${guestPath} leads out of the machine's root`);
    }
  }
  return path;
}

/** Writes a file of the machine config, replacing what the image has there (a link is not followed). */
export async function writeGuestFile(
  root: string,
  guestPath: string,
  content: Buffer,
  mode: number,
): Promise<void> {
  const path = await placeInRoot(root, guestPath);
  await rm(path, { recursive: true, force: true });
  await writeFile(path, content, { mode });
}
