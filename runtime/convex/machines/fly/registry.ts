/** Whether an image exists, asked of the registry that holds it. */
import { withinDeadline } from "../../deadline.ts";

const TIMEOUT_MS = 10_000;
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

export type ImageState = "present" | "absent" | "unknown";

/** `registry/repository@sha256:…` in its parts; null for anything else. */
export function parseImage(image: string): { host: string; repository: string; digest: string } | null {
  const match = /^([^/]+)\/(.+)@(sha256:[0-9a-f]{64})$/.exec(image);
  if (match === null) return null;
  const [, host = "", repository = "", digest = ""] = match;
  return { host, repository, digest };
}

/**
 * @param registryUrl when the registry does not answer under the image's own host; null otherwise.
 * @returns unknown when it could not be asked: that says nothing about the image.
 */
export async function imageState(
  image: string,
  token: string,
  registryUrl: string | null,
): Promise<ImageState> {
  const parts = parseImage(image);
  if (parts === null) return "unknown";
  const base = (registryUrl ?? `https://${parts.host}`).replace(/\/+$/, "");
  try {
    const response = await withinDeadline(TIMEOUT_MS, (signal) =>
      fetch(`${base}/v2/${parts.repository}/manifests/${parts.digest}`, {
        method: "HEAD",
        headers: {
          authorization: `Basic ${btoa(`x:${token.replace(/^(FlyV1|Bearer)\s+/i, "")}`)}`,
          accept: MANIFEST_TYPES,
        },
        redirect: "error",
        signal,
      }),
    );
    if (response.ok) return "present";
    return response.status === 404 ? "absent" : "unknown";
  } catch {
    return "unknown";
  }
}
