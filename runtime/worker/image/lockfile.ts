/** Reads npm's lockfile (version 3): which packages another one needs, where npm has put them. */

interface LockEntry {
  version?: string;
  integrity?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}
export interface Lockfile {
  /** By path in the repository: `node_modules/a`, `node_modules/a/node_modules/b`. */
  packages: Record<string, LockEntry>;
}

/**
 * Everything below `path` that npm resolved, by path in the repository, sorted; without `path` itself.
 * Packages that are optional and absent from the lockfile are left out.
 */
export function closureOf(
  lockfile: Lockfile,
  path: string,
  options: { dev: boolean } = { dev: false },
): string[] {
  const found = new Set<string>();
  const pending = [path];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    const entry = lockfile.packages[current];
    if (entry === undefined) continue;
    const names = Object.keys({
      ...entry.dependencies,
      ...entry.optionalDependencies,
      ...entry.peerDependencies,
      ...(options.dev && current === path ? entry.devDependencies : {}),
    });
    for (const name of names) {
      const resolved = resolve(lockfile, current, name);
      if (resolved === null || found.has(resolved)) continue;
      found.add(resolved);
      pending.push(resolved);
    }
  }
  return [...found].sort();
}

/** Node's own search: the nearest node_modules upwards. */
function resolve(lockfile: Lockfile, from: string, name: string): string | null {
  for (let dir = from; ;) {
    const candidate = dir === "" ? `node_modules/${name}` : `${dir}/node_modules/${name}`;
    if (candidate in lockfile.packages) return candidate;
    if (dir === "") return null;
    const parent = dir.lastIndexOf("/node_modules/");
    const slash = dir.lastIndexOf("/");
    dir =
      parent >= 0
        ? dir.slice(0, parent)
        : dir.startsWith("node_modules/")
          ? ""
          : slash < 0
            ? ""
            : dir.slice(0, slash);
  }
}
