import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { BlobStore } from "./blobStore.ts";

/** Fly refuses to unpack more than this. */
const UNPACKED_BYTES_MAX = 8 * 1024 ** 3;

/**
 * Layers unpacked once per digest, each into a folder of its own that is never changed afterwards. Unpacking goes
 * to a temporary folder that is renamed when complete, so a crash leaves no half layer under a good name.
 */
export class LayerStore {
  readonly #folder: string;
  readonly #blobs: BlobStore;
  readonly #running = new Map<string, Promise<string>>();

  constructor(folder: string, blobs: BlobStore) {
    this.#folder = folder;
    this.#blobs = blobs;
  }

  async prepare(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await rm(join(this.#folder, "unpacking"), { recursive: true, force: true });
  }

  /** Removes unpacked layers whose blob no repository has any more. */
  async collect(linked: ReadonlySet<string>): Promise<void> {
    for (const hex of await readdir(this.#folder)) {
      if (!linked.has(`sha256:${hex}`)) await rm(join(this.#folder, hex), { recursive: true, force: true });
    }
  }

  /** The folder of an unpacked layer. Concurrent calls for one digest share the work. */
  ensure(layer: { digest: string; diffId: string }): Promise<string> {
    const running = this.#running.get(layer.digest);
    if (running !== undefined) return running;
    const work = this.#unpack(layer).finally(() => this.#running.delete(layer.digest));
    this.#running.set(layer.digest, work);
    return work;
  }

  async #unpack({ digest, diffId }: { digest: string; diffId: string }): Promise<string> {
    const hex = digest.slice("sha256:".length);
    const target = join(this.#folder, hex);
    if (existsSync(target)) return target;
    const temporary = join(this.#folder, "unpacking", hex);
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    try {
      const found = await untar(this.#blobs.path(digest), temporary);
      if (found !== diffId)
        throw new Error(`layer ${digest}: unpacked content is ${found}, the image says ${diffId}`);
      await rename(temporary, target);
      return target;
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }
}

/** Chosen by the content's first bytes: media types are not always honest. */
async function decompressorOf(file: string): Promise<Transform> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const magic = buffer.subarray(0, bytesRead).toString("hex");
    if (magic.startsWith("1f8b")) return createGunzip();
    return magic === "28b52ffd" ? createZstdDecompress() : new PassThrough();
  } finally {
    await handle.close();
  }
}

/**
 * Unpacks a layer with the system's `tar` and returns the digest of its uncompressed bytes. GNU tar and bsdtar both
 * refuse members that climb out with `..`, strip a leading `/`, and do not write through links of the same archive;
 * since every layer gets an empty folder, no link of another layer is there to be followed.
 */
async function untar(file: string, folder: string): Promise<string> {
  const tar = spawn("tar", ["-x", "-f", "-", "-C", folder, "--no-same-owner"], {
    stdio: ["pipe", "ignore", "pipe"],
    env: { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8" },
  });
  let trouble = "";
  tar.stderr.on("data", (chunk: Buffer) => {
    if (trouble.length < 2_000) trouble += chunk.toString("utf8");
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    tar.once("error", reject);
    tar.once("close", resolve);
  });
  const hash = createHash("sha256");
  let size = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.byteLength;
      done(
        size > UNPACKED_BYTES_MAX
          ? new Error("Not enough space to unpack image, exceeds 8GB uncompressed")
          : null,
        chunk,
      );
    },
  });
  const [fed, code] = await Promise.allSettled([
    pipeline(createReadStream(file), await decompressorOf(file), meter, inputOf(tar.stdin)),
    ended,
  ]);
  if (code.status === "rejected")
    throw new Error("cannot run tar, which unpacks images", { cause: code.reason });
  if (code.value !== 0)
    throw new Error(`tar refused the layer: ${trouble.trim() || `exit code ${code.value}`}`);
  if (fed.status === "rejected") throw fed.reason;
  return `sha256:${hash.digest("hex")}`;
}

/**
 * Feeds a program that may stop reading early: tar ends at the archive's end mark, while the digest needs the
 * padding behind it too. What comes after is dropped; the program's exit code tells whether it was content.
 */
function inputOf(stdin: Writable): Writable {
  let isOpen = true;
  stdin.on("error", () => {
    isOpen = false;
  });
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!isOpen) return done();
      stdin.write(chunk, () => done());
    },
    final(done) {
      stdin.end();
      done();
    },
    destroy(error, done) {
      stdin.destroy();
      done(error);
    },
  });
}
