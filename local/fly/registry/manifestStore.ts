import { createHash } from "node:crypto";
import { type Database, transaction } from "../store/database.ts";

export interface StoredManifest {
  digest: string;
  mediaType: string;
  body: Uint8Array;
}

export const digestOfBytes = (body: Uint8Array): string =>
  `sha256:${createHash("sha256").update(body).digest("hex")}`;

/** Manifests by digest, and the tags that point at them. */
export class ManifestStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** `reference` is a digest or a tag. */
  find(repository: string, reference: string): StoredManifest | null {
    const digest = reference.startsWith("sha256:") ? reference : this.#digestOfTag(repository, reference);
    if (digest === null) return null;
    const row = this.#database
      .prepare("SELECT * FROM manifests WHERE repository = ? AND digest = ?")
      .get(repository, digest);
    if (row === undefined) return null;
    return { digest, mediaType: row["media_type"] as string, body: row["body"] as Uint8Array };
  }

  #digestOfTag(repository: string, tag: string): string | null {
    const row = this.#database
      .prepare("SELECT digest FROM tags WHERE repository = ? AND tag = ?")
      .get(repository, tag);
    return (row?.["digest"] as string | undefined) ?? null;
  }

  /** Stores the exact bytes; a tag, when given, points at them from now on. Returns the digest. */
  put(repository: string, tag: string | null, mediaType: string, body: Uint8Array, nowMs: number): string {
    const digest = digestOfBytes(body);
    transaction(this.#database, () => {
      this.#database
        .prepare(
          `INSERT INTO manifests (repository, digest, media_type, body, created_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type`,
        )
        .run(repository, digest, mediaType, body, nowMs);
      if (tag !== null) {
        this.#database
          .prepare(
            `INSERT INTO tags (repository, tag, digest) VALUES (?, ?, ?)
             ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest`,
          )
          .run(repository, tag, digest);
      }
    });
    return digest;
  }

  /** Deleting by digest removes its tags too; by tag only the tag. False when there was nothing. */
  delete(repository: string, reference: string): boolean {
    return transaction(this.#database, () => {
      if (!reference.startsWith("sha256:")) {
        return (
          this.#database
            .prepare("DELETE FROM tags WHERE repository = ? AND tag = ?")
            .run(repository, reference).changes > 0
        );
      }
      this.#database
        .prepare("DELETE FROM tags WHERE repository = ? AND digest = ?")
        .run(repository, reference);
      return (
        this.#database
          .prepare("DELETE FROM manifests WHERE repository = ? AND digest = ?")
          .run(repository, reference).changes > 0
      );
    });
  }

  tags(repository: string): string[] {
    return this.#database
      .prepare("SELECT tag FROM tags WHERE repository = ? ORDER BY tag")
      .all(repository)
      .map((row) => row["tag"] as string);
  }
}
