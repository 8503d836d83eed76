/** The worker image, in the registry: asked for first, built when it is not there, named by digest. */
import type { BuildJob } from "./buildJob.ts";
import { buildWithDocker } from "./docker.ts";
import { buildWithFly } from "./flyRemote.ts";
import { buildLocally } from "./local.ts";

const builders: Record<string, (job: BuildJob) => Promise<void>> = {
  local: buildLocally,
  docker: buildWithDocker,
  flyRemote: buildWithFly,
};

const DEFAULT_PLATFORM = "linux/amd64";

/**
 * Tag of an image: the hash of its context, and its platform when that is not Fly's own, so that the registry's
 * answer for one platform is not taken for another's.
 */
export function imageTag(contextHash: string, platform: string): string {
  return platform === DEFAULT_PLATFORM
    ? contextHash
    : `${contextHash}-${platform.replace(/[^a-z0-9]+/g, "-")}`;
}

/**
 * @returns the image as `<registry>/<app>@sha256:…`, as the registry has it.
 * @throws Error from the builder, or when nothing arrived in the registry.
 */
export async function ensureImage(builder: string, job: BuildJob): Promise<string> {
  const build = builders[builder];
  if (!build) throw new Error(`IMAGE_BUILDER is '${builder}', expected flyRemote, docker or local`);
  let digest = await job.registry.digestOf(job.app, job.tag);
  if (digest) {
    job.progress(`registry already has ${job.app}:${job.tag.slice(0, 12)}, nothing to build`);
  } else {
    const started = performance.now();
    job.progress(`building ${job.app}:${job.tag.slice(0, 12)} with builder '${builder}'`);
    await build(job);
    // Never from the build's log: what machines pull is what the registry says.
    digest = await job.registry.digestOf(job.app, job.tag);
    if (!digest) {
      throw new Error(
        `The build ended, but the registry has no ${job.app}:${job.tag}. Run \`pulumi up\` again.`,
      );
    }
    job.progress(`pushed ${digest.slice(0, 19)} in ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  }
  return `${job.registry.host}/${job.app}@${digest}`;
}
