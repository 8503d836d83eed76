/**
 * The admin key of a deployment: from a file for the local environment, else from the environment. It is never
 * an argument, since other processes can read those, and never written anywhere.
 */
import { readFileSync } from "node:fs";
import { usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { type AdminKey, mintDeployKey } from "./mintedKey.ts";
import type { Target } from "./target.ts";

const keep = (value: string): AdminKey => ({ value, discard: () => Promise.resolve() });

/** @throws CliError that names the variable to set. */
export async function adminKeyOf(target: Target, env: Io["env"]): Promise<AdminKey> {
  if (target.adminKeyFile !== null) return keep(readKeyFile(target.adminKeyFile));
  const isCloud = target.siteUrl !== null && new URL(target.url).hostname.endsWith(".convex.cloud");
  if (!isCloud) {
    const key = env["CONVEX_SELF_HOSTED_ADMIN_KEY"]?.trim();
    if (key) return keep(key);
    throw usageError(
      `No admin key for ${target.url}: CONVEX_SELF_HOSTED_ADMIN_KEY is not set.`,
      "Generate one with your backend's generate_admin_key script and export it.",
    );
  }
  const deployKey = env["CONVEX_DEPLOY_KEY"]?.trim();
  if (deployKey) return keep(checkDeployKey(deployKey, target.url));
  const teamToken = env["CONVEX_TEAM_TOKEN"]?.trim();
  if (teamToken) return await mintDeployKey(deploymentName(target.url), teamToken);
  throw usageError(
    `No admin key for ${target.url}: neither CONVEX_DEPLOY_KEY nor CONVEX_TEAM_TOKEN is set.`,
    "Create a deploy key in the Convex dashboard (deployment settings) and export it as CONVEX_DEPLOY_KEY.",
  );
}

function readKeyFile(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    throw usageError(
      `The admin key's file ${file} is gone.`,
      "Start the environment again with: npm run local",
    );
  }
}

/** A deployment's name on Convex Cloud: the first label of its host. */
function deploymentName(url: string): string {
  return new URL(url).hostname.split(".")[0] ?? "";
}

/** A deploy key begins with `prod:<deployment>|` (or another type): one of another deployment is not sent here. */
function checkDeployKey(key: string, url: string): string {
  const named = /^(?:[a-z]+:)?([a-z0-9-]+)\|/.exec(key)?.[1];
  const wanted = deploymentName(url);
  if (named !== undefined && named !== wanted) {
    throw usageError(
      `CONVEX_DEPLOY_KEY is the key of deployment '${named}', but the command is for '${wanted}'.`,
      "Export the right key, or name the other environment with --stack or --convex-url.",
    );
  }
  return key;
}
