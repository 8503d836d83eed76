/** Which images of a repository may go. Pure: whoever asks has read registry, machines and backend. */

/** One tag of the repository. */
export interface StoredTag {
  tag: string;
  digest: string;
  /** Milliseconds since the epoch; null when the image does not say. */
  builtAt: number | null;
}

/** Tags that the builders give: the hash of the context, and a platform. Any other is somebody's own. */
const OURS = /^[0-9a-f]{64}(-[a-z0-9-]+)?$/;

/**
 * Digests to delete, oldest first. Kept are: what a machine, the runtime config or a rollback uses; what carries a
 * tag that is not the builders'; what does not say when it was built; and the newest `keepRecent` of the rest.
 */
export function digestsToDelete(
  tags: readonly StoredTag[],
  inUse: ReadonlySet<string>,
  keepRecent: number,
): string[] {
  const byDigest = new Map<string, { builtAt: number | null; ours: boolean }>();
  for (const { tag, digest, builtAt } of tags) {
    const known = byDigest.get(digest);
    byDigest.set(digest, { builtAt, ours: (known?.ours ?? true) && OURS.test(tag) });
  }
  const dated = [...byDigest].flatMap(([digest, { builtAt, ours }]) =>
    ours && builtAt !== null ? [{ digest, builtAt }] : [],
  );
  return dated
    .sort((a, b) => b.builtAt - a.builtAt || (a.digest < b.digest ? -1 : 1))
    .slice(keepRecent)
    .filter(({ digest }) => !inUse.has(digest))
    .map(({ digest }) => digest)
    .reverse();
}

/**
 * Digests that references name: `<repository>@sha256:…` its own, `<repository>:<tag>` the one that the tag has.
 * References of other repositories count too: the digest is the same wherever the image was copied to.
 */
export function digestsOf(references: readonly string[], tags: readonly StoredTag[]): Set<string> {
  const found = new Set<string>();
  for (const reference of references) {
    const digest = /@(sha256:[0-9a-f]{64})$/.exec(reference)?.[1];
    const tag = /:([\w.-]+)$/.exec(reference)?.[1];
    if (digest !== undefined) found.add(digest);
    else for (const stored of tags) if (stored.tag === tag) found.add(stored.digest);
  }
  return found;
}
