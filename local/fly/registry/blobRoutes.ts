import { DIGEST } from "./blobStore.ts";
import {
  fileBody,
  type RegistryCall,
  RegistryError,
  type RegistryParts,
  type RegistryRoute,
} from "./registryRoute.ts";

const unknownBlob = (): RegistryError => new RegistryError(404, "BLOB_UNKNOWN", "blob unknown to registry");
const unknownUpload = (): RegistryError =>
  new RegistryError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown");

function digestOf(text: string | null | undefined): string {
  if (text === null || text === undefined || !DIGEST.test(text)) {
    throw new RegistryError(400, "DIGEST_INVALID", "digest must be sha256:<64 hexadecimal digits>");
  }
  return text;
}

/** First byte of a chunk as the client claims it; null when it does not say. */
function claimedStart(header: string | undefined): number | null {
  const [, start] = /^(?:bytes[= ])?(\d+)-\d+/.exec(header ?? "") ?? [];
  return start === undefined ? null : Number(start);
}

export function blobRoutes({ blobs }: Pick<RegistryParts, "blobs">): RegistryRoute[] {
  const uploadLocation = (repository: string, id: string): string => `/v2/${repository}/blobs/uploads/${id}`;
  const uploadHeaders = (repository: string, id: string, size: number): Record<string, string> => ({
    location: uploadLocation(repository, id),
    "docker-upload-uuid": id,
    range: `0-${Math.max(0, size - 1)}`,
  });
  const created = (repository: string, digest: string): Response =>
    new Response(null, {
      status: 201,
      headers: { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest },
    });
  const append = async ({ context, repository }: RegistryCall, id: string): Promise<number> => {
    const before = await blobs.received(repository, id);
    if (before === null) throw unknownUpload();
    const start = claimedStart(context.req.header("content-range"));
    if (start !== null && start !== before) {
      throw new RegistryError(
        416,
        "BLOB_UPLOAD_INVALID",
        `chunk starts at ${start}, upload is at ${before}`,
        {
          ...uploadHeaders(repository, id, before),
        },
      );
    }
    return await blobs.append(repository, id, context.req.raw.body ?? []);
  };
  const finish = async (repository: string, id: string, digest: string): Promise<Response> => {
    if (!(await blobs.finish(repository, id, digest))) {
      throw new RegistryError(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    return created(repository, digest);
  };

  const upload = "/v2/:repository/blobs/uploads/:upload";
  return [
    {
      operation: "registry.upload.start",
      method: "POST",
      path: "/v2/:repository/blobs/uploads/",
      handle: async (call) => {
        const { repository, query } = call;
        const mount = query.get("mount");
        const from = query.get("from");
        if (
          mount !== null &&
          from !== null &&
          DIGEST.test(mount) &&
          call.covers(from) &&
          blobs.has(from, mount)
        ) {
          blobs.link(repository, mount);
          return created(repository, mount);
        }
        const id = await blobs.begin(repository);
        const digest = query.get("digest");
        if (digest === null)
          return new Response(null, { status: 202, headers: uploadHeaders(repository, id, 0) });
        const wanted = digestOf(digest);
        await append(call, id);
        return await finish(repository, id, wanted);
      },
    },
    {
      operation: "registry.upload.patch",
      method: "PATCH",
      path: upload,
      handle: async (call) => {
        const id = call.params["upload"] ?? "";
        const size = await append(call, id);
        return new Response(null, { status: 202, headers: uploadHeaders(call.repository, id, size) });
      },
    },
    {
      operation: "registry.upload.finish",
      method: "PUT",
      path: upload,
      handle: async (call) => {
        const id = call.params["upload"] ?? "";
        const digest = digestOf(call.query.get("digest"));
        await append(call, id);
        return await finish(call.repository, id, digest);
      },
    },
    {
      operation: "registry.upload.status",
      method: "GET",
      path: upload,
      handle: async ({ repository, params }) => {
        const id = params["upload"] ?? "";
        const size = await blobs.received(repository, id);
        if (size === null) throw unknownUpload();
        return new Response(null, { status: 204, headers: uploadHeaders(repository, id, size) });
      },
    },
    {
      operation: "registry.upload.cancel",
      method: "DELETE",
      path: upload,
      handle: async ({ repository, params }) => {
        const id = params["upload"] ?? "";
        if ((await blobs.received(repository, id)) === null) throw unknownUpload();
        await blobs.cancel(repository, id);
        return new Response(null, { status: 204 });
      },
    },
    {
      operation: "registry.blob.get",
      method: "GET",
      path: "/v2/:repository/blobs/:digest",
      handle: async ({ context, repository, params }) => {
        const digest = digestOf(params["digest"]);
        if (!blobs.has(repository, digest)) throw unknownBlob();
        const headers = {
          "content-type": "application/octet-stream",
          "content-length": String(await blobs.size(digest)),
          "docker-content-digest": digest,
        };
        return new Response(context.req.method === "HEAD" ? null : fileBody(blobs.path(digest)), { headers });
      },
    },
    {
      operation: "registry.blob.delete",
      method: "DELETE",
      path: "/v2/:repository/blobs/:digest",
      handle: ({ repository, params }) => {
        const digest = digestOf(params["digest"]);
        if (!blobs.has(repository, digest)) throw unknownBlob();
        blobs.unlink(repository, digest);
        return new Response(null, { status: 202 });
      },
    },
  ];
}
