/**
 * Packs a folder as a one-layer OCI image and pushes it, without a container engine. The result depends on the
 * folder's content alone (sorted entries, no times, no owners), so the same tree has the same digest anywhere.
 */
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import * as tar from "tar";
import type { RegistryClient } from "./registry.ts";

export interface ImageConfig {
  entrypoint: string[];
  env: Record<string, string>;
  workingDir: string;
  labels: Record<string, string>;
}

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";

function sha256(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Files of a folder in a fixed order. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort((a, b) => (a < b ? -1 : 1));
}

/** The layer of a folder: its gzip bytes and the digest of the plain tar (the image's diff id). */
export async function packLayer(folder: string): Promise<{ layer: Buffer; diffId: string }> {
  const chunks: Buffer[] = [];
  const stream = tar.create(
    { cwd: folder, portable: true, mtime: new Date(0), noDirRecurse: true, follow: false },
    filesOf(folder),
  );
  for await (const chunk of stream) chunks.push(chunk);
  const plain = Buffer.concat(chunks);
  return { layer: gzipSync(plain, { level: 6 }), diffId: sha256(plain) };
}

/**
 * Pushes the folder under `tag` and returns the manifest's digest.
 * @throws Error from the registry client, naming the call and its status.
 */
export async function pushFolder(
  registry: RegistryClient,
  repository: string,
  tag: string,
  folder: string,
  image: ImageConfig,
): Promise<string> {
  const { layer, diffId } = await packLayer(folder);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: {
        Entrypoint: image.entrypoint,
        Env: Object.entries(image.env)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, value]) => `${name}=${value}`),
        WorkingDir: image.workingDir,
        Labels: image.labels,
      },
      rootfs: { type: "layers", diff_ids: [diffId] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, digest: sha256(config), size: config.length },
      layers: [{ mediaType: LAYER_TYPE, digest: sha256(layer), size: layer.length }],
    }),
  );
  await registry.pushBlob(repository, sha256(layer), layer);
  await registry.pushBlob(repository, sha256(config), config);
  await registry.pushManifest(repository, tag, MANIFEST_TYPE, manifest);
  return sha256(manifest);
}
