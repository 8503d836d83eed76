/** Builds the worker's image as the stack does, but for the push. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { type Engine, runVisibly } from "./engine.ts";

const ROOT = join(import.meta.dirname, "../..");
const TAG = "localhost/agent-factory-worker:check";
const LOCAL_BASE = "localhost/agent-factory-node:check";

/** @param localBase makes the base of Debian's and npm's packages instead of pulling the one that is pinned. */
export async function buildImage(engine: Engine, localBase: boolean): Promise<string> {
  if (localBase)
    await runVisibly([join(import.meta.dirname, "base.sh"), LOCAL_BASE, ...engine.command], ROOT);
  const revision = execFileSync("git", ["rev-parse", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim();
  const build = engine.podman
    ? // Without namespaces of its own: the least that a builder can ask of a machine.
      ["build", "--isolation=chroot", "--layers"]
    : ["buildx", "build", "--load", "--progress=plain"];
  await runVisibly(
    [
      ...engine.command,
      ...build,
      "--file=runtime/worker/Dockerfile",
      `--build-arg=SOURCE_REVISION=${revision}`,
      ...(localBase ? [`--build-arg=NODE_IMAGE=${LOCAL_BASE}`] : []),
      `--tag=${TAG}`,
      ".",
    ],
    ROOT,
  );
  return TAG;
}
