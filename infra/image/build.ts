/**
 * Builds and pushes the worker image, unless the registry already has it. Progress goes to stderr; stdout
 * carries one line, the image by digest.
 *
 * Environment: IMAGE_BUILDER (flyRemote | docker | local), IMAGE_APP, IMAGE_TAG (hash of the context),
 * IMAGE_REGISTRY_URL, FLY_API_TOKEN, and for docker IMAGE_PLATFORM and IMAGE_CACHE.
 */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureImage, imageTag } from "./ensureImage.ts";
import { RegistryClient } from "./registry.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

function required(name: string): string {
  const value = process.env[name]?.trim();
  if (!value) throw new Error(`${name} is not set; \`pulumi up\` sets it from the stack's config`);
  return value;
}

/** @throws Error with the way to get a token. */
function flyToken(): string {
  const token = process.env["FLY_API_TOKEN"]?.trim();
  if (token) return token;
  throw new Error(
    "FLY_API_TOKEN is not set. Create one with `fly tokens create org` and export it before `pulumi up`.",
  );
}

/** Commit of the sources; empty outside a repository or without git. */
function sourceRevision(): string {
  const run = spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8", timeout: 10_000 });
  return run.status === 0 ? run.stdout.trim() : "";
}

async function main(): Promise<void> {
  const token = flyToken();
  const platform = process.env["IMAGE_PLATFORM"] || "linux/amd64";
  const image = await ensureImage(required("IMAGE_BUILDER"), {
    root,
    app: required("IMAGE_APP"),
    tag: imageTag(required("IMAGE_TAG"), platform),
    platform,
    cache: process.env["IMAGE_CACHE"] || null,
    sourceRevision: sourceRevision(),
    token,
    registry: new RegistryClient(required("IMAGE_REGISTRY_URL"), token),
    progress: (line) => process.stderr.write(`image: ${line}\n`),
  });
  process.stdout.write(`${image}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`image: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
