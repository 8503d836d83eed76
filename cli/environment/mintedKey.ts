/** A deploy key for one command, made from a team token and deleted afterwards: for stacks that own their deployment. */
import * as z from "zod";
import { CliError, exitCodes } from "../errors.ts";

export interface AdminKey {
  value: string;
  /** Gives a key that was made for this command back. */
  discard(): Promise<void>;
}

const MANAGEMENT_URL = "https://api.convex.dev/v1";
/** The platform's floor is 30 minutes; a key that a crash leaves behind ends by itself. */
const KEY_LIFE_MS = 45 * 60 * 1_000;
const TIMEOUT_MS = 30_000;

/** @param managementUrl stands in for Convex's management API in tests. */
export async function mintDeployKey(
  deployment: string,
  teamToken: string,
  managementUrl = MANAGEMENT_URL,
): Promise<AdminKey> {
  const post = async (path: string, body: unknown): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${managementUrl}/deployments/${deployment}/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${teamToken}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : parseJson(text) };
  };
  const made = await post("create_deploy_key", {
    name: `agent-factory-cli-${Date.now()}`,
    expiresAt: Date.now() + KEY_LIFE_MS,
  }).catch((error: unknown) => {
    throw new CliError(
      exitCodes.unreachable,
      "unreachable",
      `${new URL(managementUrl).host} cannot be reached to make a deploy key: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  const parsed = z.object({ deployKey: z.string().min(1) }).safeParse(made.body);
  if (made.status >= 300 || !parsed.success) {
    throw new CliError(
      exitCodes.usage,
      "unauthorized",
      `Convex refused to make a deploy key for '${deployment}' from CONVEX_TEAM_TOKEN (${made.status}).`,
      "Check that the token belongs to the deployment's team, or export CONVEX_DEPLOY_KEY.",
    );
  }
  const value = parsed.data.deployKey;
  return {
    value,
    async discard() {
      // It ends by itself within the hour: a failure here is not the command's.
      await post("delete_deploy_key", { id: value }).catch(() => undefined);
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
