/**
 * Builds and pushes the worker image, unless the registry already has it. Progress goes to stderr; stdout
 * carries one line, the image by digest.
 *
 * Environment: IMAGE_BUILDER (flyRemote | docker | local), IMAGE_APP, IMAGE_TAG (hash of the context),
 * IMAGE_REGISTRY_URL, FLY_API_TOKEN, IMAGE_PLATFORM (docker only).
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BuildJob } from "./buildJob.ts";
import { buildWithDocker } from "./docker.ts";
import { buildWithFly } from "./flyRemote.ts";
import { buildLocally } from "./local.ts";
import { RegistryClient } from "./registry.ts";

function required(name: string): string {
  const value = process.env[name]?.trim();
  if (!value) throw new Error(`${name} is not set; \`pulumi up\` sets it from the stack's config`);
  return value;
}

async function main(): Promise<void> {
  const builder = required("IMAGE_BUILDER");
  const job: BuildJob = {
    root: join(dirname(fileURLToPath(import.meta.url)), "..", ".."),
    app: required("IMAGE_APP"),
    tag: required("IMAGE_TAG"),
    platform: process.env["IMAGE_PLATFORM"] ?? "linux/amd64",
    registry: new RegistryClient(required("IMAGE_REGISTRY_URL"), required("FLY_API_TOKEN")),
    progress: (line) => process.stderr.write(`image: ${line}\n`),
  };
  let digest = await job.registry.digestOf(job.app, job.tag);
  if (digest) {
    job.progress(`registry already has ${job.app}:${job.tag.slice(0, 12)}, nothing to build`);
  } else {
    const started = Date.now();
    job.progress(`building ${job.app}:${job.tag.slice(0, 12)} with builder '${builder}'`);
    switch (builder) {
      case "local":
        await buildLocally(job);
        break;
      case "docker":
        await buildWithDocker(job);
        break;
      case "flyRemote":
        await buildWithFly(job);
        break;
      default:
        throw new Error(`IMAGE_BUILDER is '${builder}', expected flyRemote, docker or local`);
    }
    digest = await job.registry.digestOf(job.app, job.tag);
    if (!digest) {
      throw new Error(
        `The build ended, but the registry has no ${job.app}:${job.tag}. Run \`pulumi up\` again.`,
      );
    }
    job.progress(`pushed ${digest.slice(0, 19)} in ${((Date.now() - started) / 1_000).toFixed(1)} s`);
  }
  process.stdout.write(`${job.registry.host}/${job.app}@${digest}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`image: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
