/** The calls to Convex's management API: projects, deployments and deploy keys, with a team's token. */
import { callPatiently, type HttpCall } from "./http.ts";

/** @throws Error that says where to get the token. */
function teamToken(): string {
  const token = process.env["CONVEX_TEAM_TOKEN"]?.trim();
  if (!token) {
    throw new Error(
      "CONVEX_TEAM_TOKEN is not set. Create a team access token in the Convex dashboard (team settings) and export it.",
    );
  }
  return token;
}

/**
 * One call; null for 404. @throws Error naming the token when it is refused, else the call and Convex's words.
 */
export async function convexManagement<T>(
  managementUrl: string,
  method: HttpCall["method"],
  path: string,
  json?: unknown,
): Promise<T | null> {
  const answer = await callPatiently({
    method,
    url: `${managementUrl}${path}`,
    headers: { authorization: `Bearer ${teamToken()}` },
    json,
  });
  if (answer.status === 404) return null;
  if (answer.status === 401 || answer.status === 403) {
    throw new Error(
      `Convex refused CONVEX_TEAM_TOKEN (${answer.status}) for ${method} ${path}. Check that the token belongs to the team and has not expired.`,
    );
  }
  if (answer.status >= 300) {
    throw new Error(`Convex API ${method} ${path} failed: ${answer.status} ${answer.text.slice(0, 300)}`);
  }
  return answer.body as T;
}
