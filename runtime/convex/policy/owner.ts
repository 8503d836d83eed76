/**
 * Who owns a Fly app. The mark is the name of the app's private network, `af-<owner id>`: Fly sets it when the
 * app is created, it can never change, and an app-scoped token can read it. The stack names it (infra), and
 * FACTORY_OWNER of the deployment is `<project>/<stack>/<owner id>`.
 *
 * An app that an operator chose to adopt has another network. It counts as ours as long as no machine in it
 * carries another owner's metadata.
 */

const MARK = "af-";

/** Network that marks an app as this owner's. */
export function ownerNetwork(owner: string): string {
  return `${MARK}${owner.slice(owner.lastIndexOf("/") + 1)}`;
}

export type Ownership = { ours: true } | { ours: false; reason: string };

/** Decides by the app's network and by the owners found on its machines. */
export function decideOwnership(
  appName: string,
  owner: string,
  network: string | null,
  machineOwners: ReadonlyArray<string | null>,
): Ownership {
  const expected = ownerNetwork(owner);
  if (network === expected) return { ours: true };
  if (network !== null && network.startsWith(MARK)) {
    return {
      ours: false,
      reason: `Fly app '${appName}' is owned by another deployment (network '${network}', expected '${expected}'). One Fly app serves one Convex deployment: give this stack its own agent-factory:fly.appName and run \`pulumi up\`.`,
    };
  }
  const foreign = machineOwners.find((other) => other !== null && other !== owner);
  if (foreign !== undefined && foreign !== null) {
    return {
      ours: false,
      reason: `Fly app '${appName}' runs machines of another deployment ('${foreign}', expected '${owner}'). One Fly app serves one Convex deployment: give this stack its own agent-factory:fly.appName and run \`pulumi up\`.`,
    };
  }
  return { ours: true };
}
