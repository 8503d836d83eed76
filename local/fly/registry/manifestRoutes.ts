import * as z from "zod";
import { readBounded } from "../http/requestBody.ts";
import { DIGEST } from "./blobStore.ts";
import { digestOfBytes } from "./manifestStore.ts";
import { RegistryError, type RegistryParts, type RegistryRoute } from "./registryRoute.ts";

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
const TAG = /^\w[\w.-]{0,127}$/;
const TAGS_PAGE_MAX = 1_000;

const references = z.object({
  mediaType: z.string().optional(),
  config: z.object({ digest: z.string() }).optional(),
  layers: z.array(z.object({ digest: z.string() })).optional(),
  manifests: z.array(z.object({ digest: z.string() })).optional(),
});

const unknownManifest = (): RegistryError => new RegistryError(404, "MANIFEST_UNKNOWN", "manifest unknown");

export function manifestRoutes(
  parts: Pick<RegistryParts, "blobs" | "manifests" | "images" | "now" | "log">,
): RegistryRoute[] {
  const { blobs, manifests, images } = parts;

  /** A manifest may only point at what this repository holds: a dangling one could never be run. */
  const checkReferences = (repository: string, body: Buffer): string | undefined => {
    const parsed = references.safeParse(tryJson(body));
    if (!parsed.success)
      throw new RegistryError(400, "MANIFEST_INVALID", "manifest is not a JSON object of a known shape");
    const { config, layers = [], manifests: inner = [] } = parsed.data;
    for (const { digest } of [...(config === undefined ? [] : [config]), ...layers]) {
      if (!DIGEST.test(digest) || !blobs.has(repository, digest)) {
        throw new RegistryError(400, "MANIFEST_BLOB_UNKNOWN", `blob ${digest} is not in ${repository}`);
      }
    }
    for (const { digest } of inner) {
      if (manifests.find(repository, digest) === null) {
        throw new RegistryError(400, "MANIFEST_BLOB_UNKNOWN", `manifest ${digest} is not in ${repository}`);
      }
    }
    return parsed.data.mediaType;
  };

  const path = "/v2/:repository/manifests/:reference";
  return [
    {
      operation: "registry.manifest.put",
      method: "PUT",
      path,
      handle: async ({ context, repository, params }) => {
        const reference = params["reference"] ?? "";
        const isDigest = DIGEST.test(reference);
        if (!isDigest && !TAG.test(reference)) throw new RegistryError(400, "TAG_INVALID", "invalid tag");
        const body = await readBounded(context.req.raw, MANIFEST_BYTES_MAX);
        const declared = checkReferences(repository, body);
        const mediaType =
          context.req.header("content-type") ?? declared ?? "application/vnd.oci.image.manifest.v1+json";
        if (isDigest && digestOfBytes(body) !== reference) {
          throw new RegistryError(400, "DIGEST_INVALID", `manifest has digest ${digestOfBytes(body)}`);
        }
        const digest = manifests.put(repository, isDigest ? null : reference, mediaType, body, parts.now());
        images.warm(repository, digest).catch((error: unknown) => {
          parts.log(`unpacking ${repository}@${digest} ahead of its first machine failed: ${String(error)}`);
        });
        return new Response(null, {
          status: 201,
          headers: { location: `/v2/${repository}/manifests/${digest}`, "docker-content-digest": digest },
        });
      },
    },
    {
      operation: "registry.manifest.get",
      method: "GET",
      path,
      handle: ({ context, repository, params }) => {
        const found = manifests.find(repository, params["reference"] ?? "");
        if (found === null) throw unknownManifest();
        const headers = {
          "content-type": found.mediaType,
          "content-length": String(found.body.byteLength),
          "docker-content-digest": found.digest,
        };
        return new Response(context.req.method === "HEAD" ? null : new Uint8Array(found.body), { headers });
      },
    },
    {
      operation: "registry.manifest.delete",
      method: "DELETE",
      path,
      handle: ({ repository, params }) => {
        if (!manifests.delete(repository, params["reference"] ?? "")) throw unknownManifest();
        return new Response(null, { status: 202 });
      },
    },
    {
      operation: "registry.tags.list",
      method: "GET",
      path: "/v2/:repository/tags/list",
      handle: ({ repository, query }) => {
        const last = query.get("last") ?? "";
        const limit = Math.min(
          Math.max(1, Number(query.get("n") ?? TAGS_PAGE_MAX) || TAGS_PAGE_MAX),
          TAGS_PAGE_MAX,
        );
        const rest = manifests.tags(repository).filter((tag) => tag > last);
        const tags = rest.slice(0, limit);
        const more = rest.length > tags.length;
        const headers = more
          ? {
              link: `</v2/${repository}/tags/list?n=${limit}&last=${encodeURIComponent(tags.at(-1) ?? "")}>; rel="next"`,
            }
          : undefined;
        return Response.json({ name: repository, tags }, { headers });
      },
    },
  ];
}

function tryJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
