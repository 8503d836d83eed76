/** Builder `local`: the worker's tree packed without a container engine, for machines that are processes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BuildJob } from "./buildJob.ts";
import { pushFolder } from "./oci.ts";
import { runTool, toolEnvironment } from "./tool.ts";

export async function buildLocally(job: BuildJob): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "agent-factory-image-"));
  try {
    await runTool({
      command: process.execPath,
      args: [join(job.root, "runtime/worker/image/buildTree.ts"), "--out", folder, "--openclaw", "link"],
      cwd: job.root,
      env: toolEnvironment({}),
      progress: job.progress,
      missing: "Node is missing",
      next: "Run `npm ci` in the project's root, then `pulumi up` again.",
    });
    const info = JSON.parse(readFileSync(join(folder, "image.json"), "utf8")) as {
      openclawDir: string;
      sourceRevision?: string;
    };
    await pushFolder(job.registry, job.app, job.tag, folder, {
      // The machine is a process on this computer: it runs this Node and the OpenClaw that is installed here.
      entrypoint: [process.execPath, "main.js"],
      env: { OPENCLAW_DIR: info.openclawDir, NODE_ENV: "production" },
      workingDir: "/",
      labels: { "org.opencontainers.image.revision": info.sourceRevision ?? "unknown" },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
