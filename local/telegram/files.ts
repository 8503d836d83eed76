import { randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Core } from "./core.ts";
import { badRequest } from "./errors.ts";
import type { Upload } from "./params.ts";
import type { FileObject, Message } from "./wire.ts";

/** Bots may download no more than this; sending goes up to UPLOAD_LIMIT_BYTES. */
export const DOWNLOAD_LIMIT_BYTES = 20 * 1024 * 1024;
export const UPLOAD_LIMIT_BYTES = 50 * 1024 * 1024;

export const MEDIA_KINDS = ["photo", "document", "audio", "voice", "video"] as const;
export type MediaKind = (typeof MEDIA_KINDS)[number];

const FOLDERS: Record<MediaKind, string> = {
  photo: "photos",
  document: "documents",
  audio: "music",
  voice: "voice",
  video: "videos",
};

/** What a person's phone knows about a file, beyond its bytes. Durations in seconds. */
export interface FileDetails {
  width?: number;
  height?: number;
  duration?: number;
  /** Claims another size than the bytes have, to stand for a large file without one. */
  size?: number;
}

interface FileRow {
  unique_id: string;
  path: string;
  size: number;
  body: string;
}

/** Keeps a file for a bot. */
export function storeFile(
  core: Core,
  botId: number,
  kind: MediaKind,
  file: Upload,
  details: FileDetails,
): FileObject {
  const fileId = randomBytes(36).toString("base64url");
  const uniqueId = randomBytes(9).toString("base64url");
  const count =
    core.store.get<{ n: number }>("SELECT count(*) AS n FROM files WHERE bot_id = ?", botId)?.n ?? 0;
  const extension =
    /\.[A-Za-z0-9]{1,8}$/.exec(file.name)?.[0] ??
    (kind === "photo" ? ".jpg" : kind === "voice" ? ".oga" : "");
  const object: FileObject = {
    file_id: fileId,
    file_unique_id: uniqueId,
    file_size: details.size ?? file.bytes.byteLength,
    ...(kind === "photo" || kind === "video"
      ? { width: details.width ?? 1280, height: details.height ?? 960 }
      : {}),
    ...(kind === "audio" || kind === "voice" || kind === "video" ? { duration: details.duration ?? 1 } : {}),
    ...(kind === "photo" ? {} : { mime_type: file.mime || "application/octet-stream" }),
    ...(kind === "photo" || kind === "voice" ? {} : { file_name: file.name }),
  };
  mkdirSync(core.filesFolder, { recursive: true, mode: 0o700 });
  // The bytes are there before the row: a kill in between leaves an unused file, never a row without bytes.
  writeFileSync(join(core.filesFolder, uniqueId), file.bytes);
  core.store.run(
    "INSERT INTO files (file_id, unique_id, bot_id, path, size, body) VALUES (?, ?, ?, ?, ?, ?)",
    fileId,
    uniqueId,
    botId,
    `${FOLDERS[kind]}/file_${count}${extension}`,
    object.file_size ?? 0,
    JSON.stringify(object),
  );
  return object;
}

/** The media part of a message. A photo comes in three sizes, smallest first. */
export function storeMedia(
  core: Core,
  botId: number,
  kind: MediaKind,
  file: Upload,
  details: FileDetails,
): Partial<Message> {
  if (kind !== "photo") return { [kind]: storeFile(core, botId, kind, file, details) };
  const width = details.width ?? 1280;
  const height = details.height ?? 960;
  // Nothing here can scale pictures, so a smaller size is the start of the bytes: whoever picks one by mistake sees it.
  const sizes = [0.07, 0.25].map((scale) =>
    storeFile(
      core,
      botId,
      "photo",
      { ...file, bytes: file.bytes.subarray(0, Math.ceil(file.bytes.byteLength * scale)) },
      { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) },
    ),
  );
  return { photo: [...sizes, storeFile(core, botId, "photo", file, { ...details, width, height })] };
}

/** getFile's answer. */
export function describeFile(core: Core, botId: number, fileId: string): Record<string, unknown> {
  const row = findFile(core, botId, fileId);
  if (!row) throw badRequest("invalid file_id");
  if (row.size > DOWNLOAD_LIMIT_BYTES) throw badRequest("file is too big");
  return { file_id: fileId, file_unique_id: row.unique_id, file_size: row.size, file_path: row.path };
}

/** A file that was sent before, sent again by its id. */
export function reuseFile(core: Core, botId: number, fileId: string): FileObject {
  const row = findFile(core, botId, fileId);
  if (!row) throw badRequest("wrong file identifier/HTTP URL specified");
  return JSON.parse(row.body) as FileObject;
}

/** The bytes behind a `file_path`; undefined when there is no such file of this bot. */
export function readFileAt(core: Core, botId: number, path: string): ReadableStream<Uint8Array> | undefined {
  const row = core.store.get<FileRow>("SELECT * FROM files WHERE bot_id = ? AND path = ?", botId, path);
  if (!row) return undefined;
  return Readable.toWeb(
    createReadStream(join(core.filesFolder, row.unique_id)),
  ) as ReadableStream<Uint8Array>;
}

function findFile(core: Core, botId: number, fileId: string): FileRow | undefined {
  return core.store.get<FileRow>("SELECT * FROM files WHERE file_id = ? AND bot_id = ?", fileId, botId);
}
