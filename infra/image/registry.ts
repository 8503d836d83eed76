/** The part of the OCI distribution API that the stack needs. Authorization: basic, user `x`, password token. */
import { request } from "undici";

const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

const TIMEOUT_MS = 120_000;

/** A registry that does not do a thing answers one of these; Fly's is not documented to list or to delete. */
const UNSUPPORTED = new Set([400, 404, 405, 501]);
/** Pages of tags that are read; a repository with more is pruned again next time. */
const TAG_PAGES_MAX = 50;

function refused(status: number, repository: string): Error {
  return new Error(
    `The registry refused the token (${status}) for ${repository}. Check FLY_API_TOKEN: it needs access to the app's images.`,
  );
}

export class RegistryClient {
  readonly #url: string;
  readonly #authorization: string;
  /** The token without its scheme, as docker's login wants it. */
  readonly password: string;

  /** @param url base URL without `/v2`. @param token Fly token, with or without its scheme. */
  constructor(url: string, token: string) {
    this.#url = url.replace(/\/$/, "");
    this.password = token.replace(/^(FlyV1|Bearer) /, "");
    this.#authorization = `Basic ${Buffer.from(`x:${this.password}`).toString("base64")}`;
  }

  /** Host part of image references. */
  get host(): string {
    return new URL(this.#url).host;
  }

  async #call(
    method: "HEAD" | "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    headers: Record<string, string> = {},
    body: Buffer | null = null,
  ) {
    const url = new URL(path, `${this.#url}/`);
    // An upload may be sent to a storage host elsewhere, which has no business with our token.
    const ours = url.origin === new URL(this.#url).origin;
    try {
      const response = await request(url, {
        method,
        headers: { ...(ours ? { authorization: this.#authorization } : {}), ...headers },
        body,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.body.text();
      return { status: response.statusCode, headers: response.headers, text };
    } catch (error) {
      throw new Error(
        `no answer from the registry at ${url.origin} (${method}): ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }

  /** Digest of a manifest, or null when the registry does not have it. */
  async digestOf(repository: string, reference: string): Promise<string | null> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const answer = await this.#call("HEAD", path, { accept: ACCEPT });
    if (answer.status === 404) return null;
    if (answer.status === 401 || answer.status === 403) throw refused(answer.status, repository);
    const digest = answer.headers["docker-content-digest"];
    if (answer.status !== 200 || typeof digest !== "string") {
      throw new Error(`Registry HEAD ${path} failed: ${answer.status}`);
    }
    return digest;
  }

  async pushBlob(repository: string, digest: string, bytes: Buffer): Promise<void> {
    const there = await this.#call("HEAD", `/v2/${repository}/blobs/${digest}`);
    if (there.status === 200) return;
    const start = await this.#call("POST", `/v2/${repository}/blobs/uploads/`);
    const location = start.headers["location"];
    if (start.status === 404) {
      throw new Error(`The registry knows no app '${repository}': the Fly app must exist before its image.`);
    }
    if (start.status !== 202 || typeof location !== "string") {
      throw new Error(`Registry POST /v2/${repository}/blobs/uploads/ failed: ${start.status} ${start.text}`);
    }
    const target = new URL(location, this.#url);
    target.searchParams.set("digest", digest);
    const end = await this.#call(
      "PUT",
      target.href,
      { "content-type": "application/octet-stream", "content-length": String(bytes.length) },
      bytes,
    );
    if (end.status !== 201) throw new Error(`Registry PUT blob ${digest} failed: ${end.status} ${end.text}`);
  }

  async pushManifest(repository: string, reference: string, type: string, bytes: Buffer): Promise<void> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const answer = await this.#call("PUT", path, { "content-type": type }, bytes);
    if (answer.status !== 201)
      throw new Error(`Registry PUT ${path} failed: ${answer.status} ${answer.text}`);
  }

  /** All tags of a repository, or null when this registry does not list them. */
  async tags(repository: string): Promise<string[] | null> {
    const tags: string[] = [];
    let path: string | null = `/v2/${repository}/tags/list?n=1000`;
    for (let page = 0; path !== null && page < TAG_PAGES_MAX; page++) {
      const answer = await this.#call("GET", path);
      if (UNSUPPORTED.has(answer.status)) return null;
      if (answer.status === 401 || answer.status === 403) throw refused(answer.status, repository);
      if (answer.status !== 200) throw new Error(`Registry GET ${path} failed: ${answer.status}`);
      tags.push(...((JSON.parse(answer.text) as { tags?: string[] | null }).tags ?? []));
      path = /<([^>]+)>;\s*rel="?next"?/.exec(String(answer.headers["link"] ?? ""))?.[1] ?? null;
    }
    return tags;
  }

  /**
   * When an image was built, ms since the epoch, by its config; null when it does not say. Of an index the first
   * image counts.
   */
  async builtAt(repository: string, digest: string): Promise<number | null> {
    const manifest = await this.#json(`/v2/${repository}/manifests/${digest}`);
    const inner = (manifest["manifests"] as Array<{ digest: string }> | undefined)?.[0]?.digest;
    const image = inner === undefined ? manifest : await this.#json(`/v2/${repository}/manifests/${inner}`);
    const config = (image["config"] as { digest: string } | undefined)?.digest;
    if (config === undefined) return null;
    const created = (await this.#json(`/v2/${repository}/blobs/${config}`))["created"];
    const at = typeof created === "string" ? Date.parse(created) : Number.NaN;
    return Number.isFinite(at) ? at : null;
  }

  async #json(path: string): Promise<Record<string, unknown>> {
    const answer = await this.#call("GET", path, { accept: ACCEPT });
    if (answer.status !== 200) throw new Error(`Registry GET ${path} failed: ${answer.status}`);
    return JSON.parse(answer.text) as Record<string, unknown>;
  }

  /** Deletes a manifest and its tags; false when this registry does not delete. Gone already is what was wanted. */
  async deleteManifest(repository: string, digest: string): Promise<boolean> {
    const path = `/v2/${repository}/manifests/${digest}`;
    const answer = await this.#call("DELETE", path);
    if (answer.status === 404 || (answer.status >= 200 && answer.status < 300)) return true;
    if (UNSUPPORTED.has(answer.status)) return false;
    if (answer.status === 401 || answer.status === 403) throw refused(answer.status, repository);
    throw new Error(`Registry DELETE ${path} failed: ${answer.status}`);
  }
}
