/** Every physical name of an environment, in one place. */

/** What names are made of. `ownerId` is random, made once per stack and kept in its state. */
export interface NameParts {
  project: string;
  stack: string;
  ownerId: string;
}

/** Lower-case letters, digits and dashes, no dash at either end: what Fly accepts in names. */
export function slug(text: string, lengthMax: number): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, lengthMax)
    .replace(/^-+|-+$/g, "");
}

/** Name of the Fly app: global on Fly, so it carries part of the owner id. */
export function flyAppName(parts: NameParts): string {
  return `af-${slug(parts.stack, 30) || "stack"}-${parts.ownerId.slice(0, 8)}`;
}

/**
 * Name of the app's private network, which is also the owner's mark: an app can never change its network, and
 * anyone who may see the app can read it.
 */
export function flyNetworkName(parts: NameParts): string {
  return `af-${parts.ownerId}`;
}

/** Identity of the owner, written to the deployment, the machines' metadata and the runtime config. */
export function ownerIdentity(parts: NameParts): string {
  return `${parts.project}/${parts.stack}/${parts.ownerId}`;
}

/** Name under which the app's scoped deploy token appears in Fly. */
export function flyTokenName(parts: NameParts): string {
  return `${parts.project}/${parts.stack} scaler`;
}

/** Secret ref of an agent's bot token (spec J). */
export function botTokenRef(agentKey: string): string {
  return `telegram.botToken.${agentKey}`;
}
