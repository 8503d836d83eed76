/** Builder `docker`: buildx on this machine, pushed with provenance and SBOM attestations. */
import { join } from "node:path";
import type { BuildJob } from "./buildJob.ts";
import { runTool } from "./tool.ts";

const MISSING =
  "docker is not installed or not on PATH. Install Docker with buildx, or set agent-factory:image.builder to flyRemote.";

/** Arguments of the build; pure, so that they can be checked without Docker. */
export function dockerArguments(
  job: Pick<BuildJob, "root" | "app" | "tag" | "platform"> & { host: string },
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
    "--provenance=mode=max",
    "--sbom=true",
    "--progress=plain",
    "--push",
    job.root,
  ];
}

export async function buildWithDocker(job: BuildJob): Promise<void> {
  await runTool({
    command: "docker",
    args: dockerArguments({ ...job, host: job.registry.host }),
    cwd: job.root,
    progress: job.progress,
    missing: MISSING,
  });
}
