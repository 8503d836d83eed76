/** Builder `docker`: buildx on this machine, pushed with provenance and SBOM attestations. */
import { join } from "node:path";
import type { BuildJob } from "./buildJob.ts";
import { withDockerLogin } from "./dockerLogin.ts";
import { runTool, toolEnvironment } from "./tool.ts";

const MISSING =
  "docker is not installed or not on PATH. Install Docker with buildx, or set agent-factory:image.builder to flyRemote.";
const NEXT =
  "Correct what the last lines name and run `pulumi up` again. `docker buildx version` must work and `docker info` must reach an engine; without one set agent-factory:image.builder to flyRemote.";

/** Arguments of the build; pure, so that they can be checked without Docker. The login goes by a folder. */
export function dockerArguments(
  job: Pick<BuildJob, "root" | "app" | "tag" | "platform" | "cache" | "sourceRevision"> & { host: string },
): string[] {
  return [
    "buildx",
    "build",
    "--platform",
    job.platform,
    "--file",
    join(job.root, "runtime/worker/Dockerfile"),
    "--tag",
    `${job.host}/${job.app}:${job.tag}`,
    "--label",
    `org.opencontainers.image.version=${job.tag}`,
    "--build-arg",
    `SOURCE_REVISION=${job.sourceRevision}`,
    "--provenance=mode=max",
    "--sbom=true",
    "--progress=plain",
    ...(job.cache === null ? [] : ["--cache-from", job.cache, "--cache-to", `${job.cache},mode=max`]),
    "--push",
    job.root,
  ];
}

export async function buildWithDocker(job: BuildJob): Promise<void> {
  await withDockerLogin(job.registry.host, job.token, async (environment) => {
    await runTool({
      command: "docker",
      args: dockerArguments({ ...job, host: job.registry.host }),
      cwd: job.root,
      env: toolEnvironment(environment),
      progress: job.progress,
      missing: MISSING,
      next: NEXT,
      secrets: [job.token, job.registry.password],
    });
  });
}
