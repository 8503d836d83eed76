import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";

export type Compression = "none" | "gzip" | "zstd";

export interface TestImage {
  /** Lowest first: path in the image → content. */
  layers: Record<string, string>[];
  entrypoint?: string[];
  cmd?: string[];
  env?: string[];
  workingDir?: string;
  compression?: Compression;
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** A tar of these files, made with the system's tar. */
export function tarOf(files: Record<string, string>): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "fly-image-"));
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    return execFileSync("tar", ["-c", "-f", "-", "-C", folder, "."], { maxBuffer: 64 * 1024 * 1024 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const compress: Record<Compression, (bytes: Buffer) => Buffer> = {
  none: (bytes) => bytes,
  gzip: (bytes) => gzipSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
};

export const registryAuth = (token: string): string =>
  `Basic ${Buffer.from(`x:${token.replace(/^FlyV1 /, "")}`).toString("base64")}`;

/** Uploads one blob in a single request; returns its digest. */
export async function pushBlob(
  registryUrl: string,
  app: string,
  token: string,
  bytes: Uint8Array,
): Promise<string> {
  const digest = digestOf(bytes);
  const response = await fetch(`${registryUrl}/v2/${app}/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    headers: { authorization: registryAuth(token) },
    body: new Uint8Array(bytes),
  });
  if (response.status !== 201) throw new Error(`blob push: ${response.status} ${await response.text()}`);
  return digest;
}

/** Pushes an image of raw layer tars under a tag; returns the manifest's digest. */
export async function pushTars(
  registryUrl: string,
  app: string,
  token: string,
  tag: string,
  tars: readonly Buffer[],
  image: Omit<TestImage, "layers">,
): Promise<string> {
  const layers: { mediaType: string; digest: string; size: number }[] = [];
  for (const tar of tars) {
    const bytes = compress[image.compression ?? "gzip"](tar);
    const digest = await pushBlob(registryUrl, app, token, bytes);
    layers.push({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: bytes.byteLength });
  }
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Entrypoint: image.entrypoint, Cmd: image.cmd, Env: image.env, WorkingDir: image.workingDir },
      rootfs: { type: "layers", diff_ids: tars.map(digestOf) },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: await pushBlob(registryUrl, app, token, config),
        size: config.byteLength,
      },
      layers,
    }),
  );
  const response = await fetch(`${registryUrl}/v2/${app}/manifests/${tag}`, {
    method: "PUT",
    headers: {
      authorization: registryAuth(token),
      "content-type": "application/vnd.oci.image.manifest.v1+json",
    },
    body: manifest,
  });
  if (response.status !== 201) throw new Error(`manifest push: ${response.status} ${await response.text()}`);
  return response.headers.get("docker-content-digest") ?? "";
}

export function pushImage(
  registryUrl: string,
  app: string,
  token: string,
  tag: string,
  image: TestImage,
): Promise<string> {
  return pushTars(registryUrl, app, token, tag, image.layers.map(tarOf), image);
}
