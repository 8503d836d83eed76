/** Builder `flyRemote`: Fly's remote builder through flyctl. `--build-only` alone does not push. */
import { join } from "node:path";
import type { BuildJob } from "./buildJob.ts";
import { runTool, toolEnvironment } from "./tool.ts";

const MISSING =
  "flyctl is not installed or not on PATH. Install it (https://fly.io/docs/flyctl/install), or set agent-factory:image.builder to docker.";
const NEXT =
  "Correct what the last lines name and run `pulumi up` again. When the remote builder itself is at fault: `flyctl doctor`, or set agent-factory:image.builder to docker.";

/** Arguments of the build; pure, so that they can be checked without flyctl. The token goes by environment. */
export function flyArguments(job: Pick<BuildJob, "root" | "app" | "tag" | "sourceRevision">): string[] {
  return [
    "deploy",
    job.root,
    "--app",
    job.app,
    "--config",
    join(job.root, "runtime/worker/fly.toml"),
    "--dockerfile",
    join(job.root, "runtime/worker/Dockerfile"),
    "--image-label",
    job.tag,
    "--build-arg",
    `SOURCE_REVISION=${job.sourceRevision}`,
    "--build-only",
    "--push",
    "--remote-only",
    "--depot=false",
  ];
}

export async function buildWithFly(job: BuildJob): Promise<void> {
  await runTool({
    command: "flyctl",
    args: flyArguments(job),
    cwd: job.root,
    env: toolEnvironment({ FLY_API_TOKEN: job.token }),
    progress: job.progress,
    missing: MISSING,
    next: NEXT,
    secrets: [job.token, job.registry.password],
  });
}
