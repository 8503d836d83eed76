/**
 * Deletes old images after a rollout. What goes wrong is told and fails nothing: the environment is up.
 *
 * Environment: IMAGE (just rolled out), IMAGE_APP, IMAGE_KEEP_RECENT, IMAGE_REGISTRY_URL, FLY_API_URL, FLY_API_TOKEN,
 * CONVEX_ACCESS and the credential that its mode asks for.
 */
import type { ConvexAccess } from "../platform/convexApi.ts";
import { flyToken } from "../platform/flyApi.ts";
import { pruneImages } from "./pruneImages.ts";
import { RegistryClient } from "./registry.ts";

const progress = (line: string): void => {
  process.stderr.write(`image: ${line}\n`);
};

function required(name: string): string {
  const value = process.env[name]?.trim();
  if (!value) throw new Error(`${name} is not set; \`pulumi up\` sets it from the stack's config`);
  return value;
}

async function main(): Promise<void> {
  await pruneImages({
    registry: new RegistryClient(required("IMAGE_REGISTRY_URL"), flyToken()),
    flyApiUrl: required("FLY_API_URL"),
    convex: JSON.parse(required("CONVEX_ACCESS")) as ConvexAccess,
    app: required("IMAGE_APP"),
    image: required("IMAGE"),
    keepRecent: Number(required("IMAGE_KEEP_RECENT")),
    progress,
  });
}

main().catch((error: unknown) => {
  progress(`old images stay: ${error instanceof Error ? error.message : String(error)}`);
});
