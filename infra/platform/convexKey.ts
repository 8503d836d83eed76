/**
 * The admin key of a deployment. Which one: existing → CONVEX_DEPLOY_KEY, selfHosted →
 * CONVEX_SELF_HOSTED_ADMIN_KEY, provisioned → a short-lived deploy key minted from CONVEX_TEAM_TOKEN when it is
 * needed, so that none is ever kept.
 */
import { convexManagement } from "./convexManagement.ts";

/** How to reach and administer a deployment. Holds no secret. */
export interface ConvexAccess {
  mode: "existing" | "provisioned" | "selfHosted";
  url: string;
  /** Provisioned only: where and for which deployment a key is minted. */
  managementUrl?: string;
  deploymentName?: string;
}

/** Life of a minted deploy key, ms; the platform's floor is 30 minutes. */
const MINTED_KEY_MS = 60 * 60 * 1_000;
/** A key with less life than this is not handed out any more, ms: the longest call takes a minute. */
const KEY_RESERVE_MS = 5 * 60 * 1_000;

interface MintedKey {
  key: Promise<string>;
  expiresAt: number;
}

/**
 * Keys of this process by deployment. On `process`, because each serialised provider has a copy of this module:
 * without it an `up` that waits for a rollout would mint a key per look.
 */
function mintedKeys(): Map<string, MintedKey> {
  const holder = process as unknown as Record<symbol, Map<string, MintedKey> | undefined>;
  const slot = Symbol.for("agent-factory.convexKeys");
  return (holder[slot] ??= new Map());
}

function fromEnvironment(name: string, hint: string): string {
  const value = process.env[name]?.trim();
  if (!value) throw new Error(`${name} is not set. ${hint}`);
  return value;
}

/** True for the error of a deployment that somebody deleted: there is nothing left to read or to take away. */
export function isDeploymentGone(error: unknown): boolean {
  return error instanceof Error && (error as { deploymentGone?: boolean }).deploymentGone === true;
}

async function mint(managementUrl: string, deploymentName: string, expiresAt: number): Promise<string> {
  const path = `/deployments/${deploymentName}/create_deploy_key`;
  const made = await convexManagement<{ deployKey?: string }>(managementUrl, "POST", path, {
    name: `pulumi-${expiresAt}`,
    expiresAt,
  });
  if (made === null) {
    throw Object.assign(
      new Error(
        `Convex deployment '${deploymentName}' does not exist. Run \`pulumi refresh\`, then \`pulumi up\`.`,
      ),
      { deploymentGone: true },
    );
  }
  if (!made.deployKey)
    throw new Error(`Convex API POST ${path} answered without a key. Run \`pulumi up\` again.`);
  return made.deployKey;
}

/**
 * The key of a deployment. @throws Error that names the variable to set and where to get its value.
 */
export async function convexAdminKey(access: ConvexAccess): Promise<string> {
  switch (access.mode) {
    case "existing":
      return fromEnvironment(
        "CONVEX_DEPLOY_KEY",
        "Create one in the Convex dashboard (deployment settings, deploy keys) and export it.",
      );
    case "selfHosted":
      return fromEnvironment(
        "CONVEX_SELF_HOSTED_ADMIN_KEY",
        "Generate one with your backend's generate_admin_key script and export it.",
      );
    case "provisioned": {
      const { managementUrl = "", deploymentName = "" } = access;
      const keys = mintedKeys();
      const name = `${managementUrl} ${deploymentName}`;
      const known = keys.get(name);
      if (known && Date.now() < known.expiresAt - KEY_RESERVE_MS) return known.key;
      const expiresAt = Date.now() + MINTED_KEY_MS;
      const key = mint(managementUrl, deploymentName, expiresAt);
      keys.set(name, { key, expiresAt });
      // Calls that run side by side share one key; a failure is nobody's to share.
      key.catch(() => keys.delete(name));
      return key;
    }
  }
}

/** Forgets the minted key of a deployment, after it was refused or its deployment was deleted. */
export function forgetAdminKey(access: Pick<ConvexAccess, "managementUrl" | "deploymentName">): void {
  mintedKeys().delete(`${access.managementUrl ?? ""} ${access.deploymentName ?? ""}`);
}
