import { createHash, createHmac, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, writeFileSync, renameSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { STORAGE_TABLE } from "../engine/catalog.ts";
import type { Engine } from "../engine/engine.ts";
import { FunctionError } from "../engine/errors.ts";
import { parseDocument, Transaction } from "../engine/transaction.ts";
import type { FileRecord } from "./protocol.ts";

const UPLOAD_KEY = "uploadKey";

/** Upload URLs stop working after an hour, as Convex's do. */
export const UPLOAD_URL_LIFETIME_MS = 60 * 60 * 1000;

/** Folder of the file contents, one file per stored blob, named by a random UUID. */
export function filesFolder(state: string): string {
  return join(state, "files");
}

/** The token of an upload URL: an expiry time and its HMAC. */
export function uploadToken(key: string, expiresMs: number): string {
  const mac = createHmac("sha256", key).update(`upload:${expiresMs}`).digest("base64url");
  return `${expiresMs}.${mac}`;
}

export function isUploadToken(key: string, token: string, nowMs: number): boolean {
  const expiresMs = Number(token.split(".")[0]);
  if (!Number.isFinite(expiresMs) || expiresMs < nowMs) return false;
  const expected = Buffer.from(uploadToken(key, expiresMs));
  const given = Buffer.from(token);
  return expected.length === given.length && timingSafeEqual(expected, given);
}

/** File storage: contents on disk, one `_storage` document each. A file without its document is swept away. */
export class Files {
  readonly #engine: Engine;
  readonly #folder: string;
  readonly #cloudUrl: string;
  readonly key: string;

  constructor(engine: Engine, state: string, cloudUrl: string) {
    this.#engine = engine;
    this.#folder = filesFolder(state);
    this.#cloudUrl = cloudUrl;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const known = engine.store.meta(UPLOAD_KEY);
    this.key = known ?? randomBytes(32).toString("base64url");
    if (known === null) engine.store.setMeta(UPLOAD_KEY, this.key);
    this.#sweep();
  }

  /** Removes what an interrupted upload or an interrupted delete left behind. */
  #sweep(): void {
    const known = new Set(
      this.#engine.store
        .sql("SELECT blob FROM files")
        .all()
        .map((row) => row["blob"]),
    );
    for (const name of readdirSync(this.#folder)) {
      if (!known.has(name)) rmSync(join(this.#folder, name), { force: true });
    }
  }

  /** Writes contents to disk. They count only once `record` has committed. */
  write(contents: Uint8Array): { blob: string; sha256: string; size: number } {
    const blob = randomUUID();
    const path = join(this.#folder, blob);
    writeFileSync(`${path}.part`, contents, { mode: 0o600 });
    renameSync(`${path}.part`, path);
    return { blob, sha256: createHash("sha256").update(contents).digest("hex"), size: contents.byteLength };
  }

  /** Adds the `_storage` document of contents that are on disk. */
  record(transaction: Transaction, file: Omit<FileRecord, "storageId">): string {
    const { blob, sha256, size, contentType } = file;
    const table = this.#engine.catalog.table(STORAGE_TABLE);
    const id = transaction.insert(table, { sha256, size, ...(contentType === null ? {} : { contentType }) });
    transaction.addRow((store) => store.sql("INSERT INTO files VALUES (?, ?)").run(blob, id));
    transaction.meter.spend("filesWritten", 1);
    return id;
  }

  find(transaction: Transaction, storageId: string): FileRecord | null {
    const table = this.#engine.catalog.tableOfId(storageId);
    if (table?.name !== STORAGE_TABLE) {
      throw new FunctionError(
        `Invalid storage ID: ${JSON.stringify(storageId).slice(0, 80)} is not an ID of table "_storage".`,
      );
    }
    const found = transaction.get(storageId);
    if (found === null) return null;
    const row = this.#engine.store.sql("SELECT blob FROM files WHERE storage_id = ?").get(storageId);
    const fields = parseDocument(found.json);
    return {
      storageId,
      blob: row === undefined ? "" : (row["blob"] as string),
      sha256: fields["sha256"] as string,
      size: fields["size"] as number,
      contentType: (fields["contentType"] as string | undefined) ?? null,
    };
  }

  findBlob(blob: string): FileRecord | null {
    const row = this.#engine.store.sql("SELECT storage_id FROM files WHERE blob = ?").get(blob);
    return row === undefined ? null : this.find(new Transaction(this.#engine), row["storage_id"] as string);
  }

  /** Deletes the document with the transaction, and the contents after its commit. */
  delete(transaction: Transaction, storageId: string): void {
    const file = this.find(transaction, storageId);
    if (file === null) throw new FunctionError(`Storage ID ${storageId} does not exist.`);
    transaction.delete(storageId);
    transaction.addRow((store) => {
      store.sql("DELETE FROM files WHERE storage_id = ?").run(storageId);
      setImmediate(() => rmSync(join(this.#folder, file.blob), { force: true }));
    });
  }

  url(file: FileRecord): string {
    return `${this.#cloudUrl}/api/storage/${file.blob}`;
  }

  uploadUrl(nowMs: number): string {
    return `${this.#cloudUrl}/api/storage/upload?token=${uploadToken(this.key, nowMs + UPLOAD_URL_LIFETIME_MS)}`;
  }

  async read(file: FileRecord): Promise<Buffer> {
    return await readFile(join(this.#folder, file.blob));
  }
}
