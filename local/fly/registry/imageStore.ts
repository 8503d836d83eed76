import { readFile } from "node:fs/promises";
import * as z from "zod";
import type { ImageRef } from "../machines/record.ts";
import type { BlobStore } from "./blobStore.ts";
import { type ImageReference, parseImageReference } from "./imageReference.ts";
import type { LayerStore } from "./layerStore.ts";
import type { ManifestStore } from "./manifestStore.ts";

const descriptor = z.object({
  mediaType: z.string(),
  digest: z.string(),
  size: z.number().int().min(0),
  platform: z.object({ os: z.string(), architecture: z.string() }).optional(),
});
const indexSchema = z.object({ manifests: z.array(descriptor).min(1) });
const manifestSchema = z.object({ config: descriptor, layers: z.array(descriptor) });

/** The part of an image config that says how to run it; Docker's casing. */
const imageConfigSchema = z.object({
  config: z
    .object({
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      Env: z.array(z.string()).nullish(),
      WorkingDir: z.string().nullish(),
      StopSignal: z.string().nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .prefault({}),
  rootfs: z.object({ diff_ids: z.array(z.string()) }),
});
export type RunConfig = z.output<typeof imageConfigSchema>["config"];

export interface Image {
  ref: ImageRef;
  run: RunConfig;
  layers: { digest: string; diffId: string }[];
}

const CONFIG_BYTES_MAX = 4 * 1024 * 1024;

/** Reads pushed images: from a machine's image reference to what is needed to run it. */
export class ImageStore {
  readonly #blobs: BlobStore;
  readonly #manifests: ManifestStore;
  readonly #layers: LayerStore;
  #ownHost = "";

  constructor(blobs: BlobStore, manifests: ManifestStore, layers: LayerStore) {
    this.#blobs = blobs;
    this.#manifests = manifests;
    this.#layers = layers;
  }

  /** The registry's host and port, known once it listens. */
  setOwnHost(host: string): void {
    this.#ownHost = host;
  }

  parse(text: string): ImageReference | null {
    return parseImageReference(text, this.#ownHost);
  }

  /** Null when the reference names nothing that was pushed, or something that is not an image. */
  async resolve(reference: ImageReference): Promise<Image | null> {
    const found = this.#manifests.find(reference.repository, reference.digest ?? reference.tag ?? "latest");
    if (found === null) return null;
    const image = await this.#read(reference.repository, found.body);
    if (image === null) return null;
    const { run, layers } = image;
    const ref: ImageRef = {
      registry: reference.registry,
      repository: reference.repository,
      ...(reference.tag === null ? {} : { tag: reference.tag }),
      digest: found.digest,
      labels: run.Labels ?? {},
    };
    return { ref, run, layers };
  }

  /** Starts extracting an image's layers, so that its first machine does not wait; failures show at the boot. */
  async warm(repository: string, reference: string): Promise<void> {
    const found = this.#manifests.find(repository, reference);
    const image = found === null ? null : await this.#read(repository, found.body);
    for (const layer of image?.layers ?? []) await this.#layers.ensure(layer);
  }

  /** Folders of the image's layers, lowest first, extracted if they were not yet. */
  async layerFolders(image: Image): Promise<string[]> {
    const folders: string[] = [];
    for (const layer of image.layers) folders.push(await this.#layers.ensure(layer));
    return folders;
  }

  async #read(repository: string, body: Uint8Array): Promise<Pick<Image, "run" | "layers"> | null> {
    const json = parseJson(Buffer.from(body).toString("utf8"));
    const index = indexSchema.safeParse(json);
    if (index.success) {
      const architecture = process.arch === "x64" ? "amd64" : process.arch;
      const runnable = index.data.manifests.filter((entry) => entry.platform?.os !== "unknown");
      const chosen = runnable.find((entry) => entry.platform?.architecture === architecture) ?? runnable[0];
      const inner = chosen === undefined ? null : this.#manifests.find(repository, chosen.digest);
      // One level only: an index of indexes does not exist in practice, and depth stays bounded.
      return inner === null ? null : await this.#readManifest(repository, inner.body);
    }
    return await this.#readManifest(repository, body);
  }

  async #readManifest(repository: string, body: Uint8Array): Promise<Pick<Image, "run" | "layers"> | null> {
    const manifest = manifestSchema.safeParse(parseJson(Buffer.from(body).toString("utf8")));
    if (!manifest.success || !this.#blobs.has(repository, manifest.data.config.digest)) return null;
    if (manifest.data.config.size > CONFIG_BYTES_MAX) return null;
    const text = await readFile(this.#blobs.path(manifest.data.config.digest), "utf8");
    const config = imageConfigSchema.safeParse(parseJson(text));
    if (!config.success || config.data.rootfs.diff_ids.length !== manifest.data.layers.length) return null;
    const { diff_ids: diffIds } = config.data.rootfs;
    const layers = manifest.data.layers.map((layer, i) => ({
      digest: layer.digest,
      diffId: diffIds[i] ?? "",
    }));
    return { run: config.data.config, layers };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
