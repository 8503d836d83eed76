/** The part of the OCI distribution API that the stack needs. Authorization: basic, user `x`, password token. */
import { request } from "undici";

const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

const TIMEOUT_MS = 120_000;

export class RegistryClient {
  readonly #url: string;
  readonly #authorization: string;

  /** @param url base URL without `/v2`. @param token Fly token, with or without its scheme. */
  constructor(url: string, token: string) {
    this.#url = url.replace(/\/$/, "");
    const password = token.replace(/^(FlyV1|Bearer) /, "");
    this.#authorization = `Basic ${Buffer.from(`x:${password}`).toString("base64")}`;
  }

  /** Host part of image references. */
  get host(): string {
    return new URL(this.#url).host;
  }

  async #call(
    method: "HEAD" | "GET" | "POST" | "PUT",
    path: string,
    headers: Record<string, string> = {},
    body: Buffer | null = null,
  ) {
    const url = path.startsWith("http") ? path : `${this.#url}${path}`;
    const response = await request(url, {
      method,
      headers: { authorization: this.#authorization, ...headers },
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.body.text();
    return { status: response.statusCode, headers: response.headers, text };
  }

  /** Digest of a manifest, or null when the registry does not have it. */
  async digestOf(repository: string, reference: string): Promise<string | null> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const answer = await this.#call("HEAD", path, { accept: ACCEPT });
    if (answer.status === 404) return null;
    if (answer.status === 401 || answer.status === 403) {
      throw new Error(
        `The registry refused the token (${answer.status}) for ${repository}. Check FLY_API_TOKEN: it needs access to the app's images.`,
      );
    }
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
}
