/** The claim of one stack on one Convex deployment: a variable that names it (invariant 10). */

export const OWNER_VARIABLE = "FACTORY_OWNER";

/**
 * @param variables the deployment's environment variables.
 * @throws Error when another stack has claimed the deployment.
 */
export function requireOwnDeployment(variables: Record<string, string>, url: string, owner: string): void {
  const found = variables[OWNER_VARIABLE];
  if (found !== undefined && found !== owner) {
    throw new Error(
      `Convex deployment ${url} is owned by stack '${found}', this stack is '${owner}'. One deployment serves one stack: point agent-factory:convex at another deployment, or destroy the other stack first.`,
    );
  }
}
