/**
 * The calls to a Convex deployment that the stack makes with an admin key: environment variables and internal
 * functions. Which key: existing → CONVEX_DEPLOY_KEY, selfHosted → CONVEX_SELF_HOSTED_ADMIN_KEY, provisioned →
 * a short-lived deploy key minted from CONVEX_TEAM_TOKEN when it is needed, so that none is ever kept.
 */
import { call } from "./http.ts";

/** How to reach and administer a deployment. Holds no secret. */
export interface ConvexAccess {
  mode: "existing" | "provisioned" | "selfHosted";
  url: string;
  /** Provisioned only: where and for which deployment a key is minted. */
  managementUrl?: string;
  deploymentName?: string;
}

/** Life of a minted deploy key, ms; the platform's floor is 30 minutes. */
const MINTED_KEY_MS = 2 * 60 * 60 * 1_000;

function fromEnvironment(name: string, hint: string): string {
  const value = process.env[name]?.trim();
  if (!value) throw new Error(`${name} is not set. ${hint}`);
  return value;
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
      const token = fromEnvironment(
        "CONVEX_TEAM_TOKEN",
        "Create a team access token in the Convex dashboard (team settings) and export it.",
      );
      const path = `/deployments/${access.deploymentName}/create_deploy_key`;
      const answer = await call({
        method: "POST",
        url: `${access.managementUrl}${path}`,
        headers: { authorization: `Bearer ${token}` },
        json: { name: `pulumi-${Date.now()}`, expiresAt: Date.now() + MINTED_KEY_MS },
      });
      const key = (answer.body as { deployKey?: string }).deployKey;
      if (answer.status >= 300 || !key) {
        throw new Error(`Convex API POST ${path} failed: ${answer.status} ${answer.text.slice(0, 300)}`);
      }
      return key;
    }
  }
}

async function authorized(access: ConvexAccess): Promise<Record<string, string>> {
  return { authorization: `Convex ${await convexAdminKey(access)}` };
}

/** Calls a function of any kind, internal ones included. @throws Error with the function's own message. */
export async function runConvexFunction<T>(
  access: ConvexAccess,
  path: string,
  args: Record<string, unknown>,
  timeoutMs = 60_000,
): Promise<T> {
  const answer = await call({
    method: "POST",
    url: `${access.url}/api/function`,
    headers: await authorized(access),
    json: { path, args, format: "json" },
    timeoutMs,
  });
  const body = answer.body as {
    status?: string;
    value?: T;
    errorMessage?: string;
    errorData?: { message?: string } | string;
    message?: string;
  };
  if (body.status === "success") return body.value as T;
  const data = typeof body.errorData === "object" ? body.errorData?.message : undefined;
  const reason = data ?? body.errorMessage ?? body.message ?? answer.text.slice(0, 500);
  throw new Error(`Convex function ${path} failed: ${reason}`);
}

/** All environment variables of the deployment, values in plain text: never keep them in an output. */
export async function listEnvironmentVariables(access: ConvexAccess): Promise<Record<string, string>> {
  const answer = await call({
    method: "GET",
    url: `${access.url}/api/v1/list_environment_variables`,
    headers: await authorized(access),
  });
  const body = answer.body as { environmentVariables?: Record<string, string> };
  if (answer.status !== 200 || !body.environmentVariables) {
    throw new Error(
      `Convex API GET /api/v1/list_environment_variables failed: ${answer.status} ${answer.status === 200 ? "unexpected body" : answer.text.slice(0, 300)}`,
    );
  }
  return body.environmentVariables;
}

/** Sets and removes (null) variables in one call. */
export async function updateEnvironmentVariables(
  access: ConvexAccess,
  changes: Array<{ name: string; value: string | null }>,
): Promise<void> {
  if (changes.length === 0) return;
  const answer = await call({
    method: "POST",
    url: `${access.url}/api/v1/update_environment_variables`,
    headers: await authorized(access),
    json: { changes },
  });
  if (answer.status >= 300) {
    throw new Error(
      `Convex API POST /api/v1/update_environment_variables failed: ${answer.status} ${answer.text.slice(0, 300)}`,
    );
  }
}
