/** Deletes old images of an app's repository, as far as its registry lets anybody. */
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { flyError, flyRest } from "../platform/flyApi.ts";
import { digestsOf, digestsToDelete, type StoredTag } from "./prunePolicy.ts";
import type { RegistryClient } from "./registry.ts";

export interface PruneJob {
  registry: RegistryClient;
  /** Machines API, without `/v1`. */
  flyApiUrl: string;
  convex: ConvexAccess;
  app: string;
  /** The image that this `up` has rolled out, by digest. */
  image: string;
  keepRecent: number;
  progress: (line: string) => void;
}

/** Tags looked at in one run; the rest waits for the next one. */
const TAGS_MAX = 500;
const MACHINE_PAGES_MAX = 100;

interface Rollout {
  finished: boolean;
  image: string;
  stableImage: string | null;
}

/** References of the images that the app's machines have, running or not. */
async function machineImages({ flyApiUrl, app }: PruneJob): Promise<string[]> {
  const images: string[] = [];
  let cursor = "";
  for (let page = 0; page < MACHINE_PAGES_MAX; page++) {
    const path = `/apps/${app}/machines${cursor === "" ? "" : `?cursor=${encodeURIComponent(cursor)}`}`;
    const answer = await flyRest(flyApiUrl, "GET", path);
    if (answer.status !== 200) throw flyError("GET", path, answer);
    for (const machine of answer.body as Array<{ config?: { image?: string } }>) {
      if (machine.config?.image !== undefined) images.push(machine.config.image);
    }
    // An empty page may have a successor: the header alone says when it was the last.
    cursor = String(answer.headers["fly-next-cursor"] ?? "");
    if (cursor === "") return images;
  }
  throw new Error(`app '${app}' has more machines than can be read`);
}

async function storedTags({ registry, app }: PruneJob, tags: readonly string[]): Promise<StoredTag[]> {
  const stored: StoredTag[] = [];
  for (const tag of tags) {
    const digest = await registry.digestOf(app, tag);
    if (digest !== null) stored.push({ tag, digest, builtAt: await registry.builtAt(app, digest) });
  }
  return stored;
}

/**
 * Reads first, decides once, then deletes. @returns digests deleted.
 * @throws Error when something that may be in use could not be read: then nothing was deleted.
 */
export async function pruneImages(job: PruneJob): Promise<string[]> {
  const { registry, app, progress } = job;
  const names = await registry.tags(app);
  if (names === null) {
    progress("this registry does not list images: none is deleted");
    return [];
  }
  if (names.length <= job.keepRecent) return [];
  if (names.length > TAGS_MAX) {
    // A tag that is not looked at could protect a digest that is.
    progress(`${names.length} tags are more than ${TAGS_MAX}: none is deleted; delete some by hand`);
    return [];
  }
  const tags = await storedTags(job, names);
  const rollout = await runConvexFunction<Rollout | null>(job.convex, "factory:rolloutStatus", {});
  if (rollout !== null && !rollout.finished) {
    progress("a rollout is under way: no image is deleted");
    return [];
  }
  const config = await runConvexFunction<{ config: { provider: { image: string } } } | null>(
    job.convex,
    "factory:runtimeConfig",
    {},
  );
  const used = [
    job.image,
    ...(config === null ? [] : [config.config.provider.image]),
    ...(rollout === null ? [] : [rollout.image, rollout.stableImage ?? ""]),
    ...(await machineImages(job)),
  ];
  const deleted: string[] = [];
  for (const digest of digestsToDelete(tags, digestsOf(used, tags), job.keepRecent)) {
    if (!(await registry.deleteManifest(app, digest))) {
      progress("this registry does not delete images: none is deleted");
      break;
    }
    deleted.push(digest);
    progress(`deleted ${app}@${digest.slice(0, 19)}`);
  }
  return deleted;
}
