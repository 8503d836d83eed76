/** A parsed image reference. The registry's host has been checked already. */
export interface ImageReference {
  registry: string;
  repository: string;
  tag: string | null;
  digest: string | null;
}

/** Fly's own registry name; machine configs of the real platform use it. */
export const FLY_REGISTRY = "registry.fly.io";
const REFERENCE = /^([^/]+)\/([a-z0-9][a-z0-9._-]*)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/;

/** Null when the text is no reference, or names a registry that this emulator is not. */
export function parseImageReference(text: string, ownHost: string): ImageReference | null {
  const match = REFERENCE.exec(text);
  if (match === null) return null;
  const [, registry = "", repository = "", tag, digest] = match;
  if (registry !== FLY_REGISTRY && registry !== ownHost && !isSamePort(registry, ownHost)) return null;
  return {
    registry,
    repository,
    tag: tag ?? (digest === undefined ? "latest" : null),
    digest: digest ?? null,
  };
}

/** `localhost:5000` and `127.0.0.1:5000` are one registry. */
function isSamePort(host: string, ownHost: string): boolean {
  const [name, port] = host.split(":");
  return (
    (name === "localhost" || name === "127.0.0.1") && port !== undefined && port === ownHost.split(":")[1]
  );
}
