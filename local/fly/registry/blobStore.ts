import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, existsSync, readdirSync } from "node:fs";
import { mkdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Database } from "../store/database.ts";

export const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** Largest blob taken; a worker image's layer is far below. */
const BLOB_BYTES_MAX = 8 * 1024 ** 3;

export class BlobTooLarge extends Error {}

/** Content-addressed blobs on disk; the database says which repository may read which. */
export class BlobStore {
  readonly #folder: string;
  readonly #uploads: string;
  readonly #database: Database;

  constructor(folder: string, database: Database) {
    this.#folder = join(folder, "blobs");
    this.#uploads = join(folder, "uploads");
    this.#database = database;
  }

  async prepare(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await mkdir(this.#uploads, { recursive: true });
    await this.#collect();
  }

  /** Uploads of an earlier life cannot be resumed by a client that lost its session: only linked blobs stay. */
  async #collect(): Promise<void> {
    const linked = this.linked();
    for (const name of readdirSync(this.#uploads)) await rm(join(this.#uploads, name), { force: true });
    for (const name of readdirSync(this.#folder)) {
      if (!linked.has(`sha256:${name}`)) await rm(join(this.#folder, name), { force: true });
    }
  }

  /** Digests that some repository may read. */
  linked(): Set<string> {
    return new Set(
      this.#database
        .prepare("SELECT DISTINCT digest FROM repository_blobs")
        .all()
        .map((row) => row["digest"] as string),
    );
  }

  path(digest: string): string {
    if (!DIGEST.test(digest)) throw new Error(`not a sha256 digest: ${digest}`);
    return join(this.#folder, digest.slice("sha256:".length));
  }

  has(repository: string, digest: string): boolean {
    return (
      this.#database
        .prepare("SELECT 1 FROM repository_blobs WHERE repository = ? AND digest = ?")
        .get(repository, digest) !== undefined && existsSync(this.path(digest))
    );
  }

  async size(digest: string): Promise<number> {
    return (await stat(this.path(digest))).size;
  }

  link(repository: string, digest: string): void {
    this.#database
      .prepare("INSERT OR IGNORE INTO repository_blobs (repository, digest) VALUES (?, ?)")
      .run(repository, digest);
  }

  unlink(repository: string, digest: string): void {
    this.#database
      .prepare("DELETE FROM repository_blobs WHERE repository = ? AND digest = ?")
      .run(repository, digest);
  }

  /** A new upload's id; only the repository that began it can continue it. */
  async begin(repository: string): Promise<string> {
    const id = randomUUID();
    await pipeline([], createWriteStream(this.#uploadPath(repository, id)));
    return id;
  }

  /** Bytes received so far; null = no such upload. */
  async received(repository: string, id: string): Promise<number | null> {
    const path = this.#uploadPath(repository, id);
    return existsSync(path) ? (await stat(path)).size : null;
  }

  /** Appends a chunk; when it breaks off, the upload stays as long as it was before. Returns the new length. */
  async append(
    repository: string,
    id: string,
    body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<number> {
    const path = this.#uploadPath(repository, id);
    const before = (await stat(path)).size;
    let size = before;
    const counted = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        size += chunk.byteLength;
        done(
          size > BLOB_BYTES_MAX ? new BlobTooLarge(`blob is larger than ${BLOB_BYTES_MAX} bytes`) : null,
          chunk,
        );
      },
    });
    try {
      await pipeline(body, counted, createWriteStream(path, { flags: "a" }));
    } catch (error) {
      await truncate(path, before);
      throw error;
    }
    return size;
  }

  /** Ends an upload: true when its content has this digest; otherwise the upload is dropped. */
  async finish(repository: string, id: string, digest: string): Promise<boolean> {
    const path = this.#uploadPath(repository, id);
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash);
    if (`sha256:${hash.digest("hex")}` !== digest) {
      await rm(path, { force: true });
      return false;
    }
    await rename(path, this.path(digest));
    this.link(repository, digest);
    return true;
  }

  async cancel(repository: string, id: string): Promise<void> {
    await rm(this.#uploadPath(repository, id), { force: true });
  }

  #uploadPath(repository: string, id: string): string {
    if (!/^[0-9a-f-]{36}$/.test(id)) return join(this.#uploads, "none");
    return join(this.#uploads, `${repository}~${id}`);
  }
}
