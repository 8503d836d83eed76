/**
 * Which version of the Fly token opens which app. While a stack moves to another app it has imported that one's token
 * already, and machines of the former app are still to be ended: each version says which app it is for.
 */

export interface TokenVersion {
  version: number;
  active: boolean;
  /** False once its value was removed. */
  readable: boolean;
  /** App that the token is scoped to, from its metadata; null for one that an operator imported. */
  appName: string | null;
}

/**
 * @param versions newest first.
 * @returns null without an active version: the secret was removed, and former ones with it.
 */
export function tokenVersionFor(versions: readonly TokenVersion[], appName: string): number | null {
  const readable = versions.filter((version) => version.readable);
  const active = readable.find((version) => version.active);
  if (active === undefined) return null;
  if (active.appName === null || active.appName === appName) return active.version;
  const former =
    readable.find((version) => version.appName === appName) ??
    readable.find((version) => version.appName === null);
  // Without one of its own Fly's refusal says what is wrong.
  return (former ?? active).version;
}
