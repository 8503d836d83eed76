import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { RequestError } from "../engine/errors.ts";
import { filesFolder, isUploadToken } from "../runtime/files.ts";
import type { RuntimeThread } from "../runtimeThread.ts";
import type { Exchange } from "./exchange.ts";

/** Largest file that may be uploaded; hosted deployments bound the time instead. */
const MAX_FILE_BYTES = 1024 * 1024 * 1024;
const BLOB = /^[0-9a-f-]{36}$/;

/** POST /api/storage/upload?token=…: streams the body to disk, then makes it a stored file. */
export async function serveUpload(exchange: Exchange, runtime: RuntimeThread, state: string): Promise<void> {
  const token = exchange.url.searchParams.get("token") ?? "";
  if (!isUploadToken(await runtime.request("uploadKey", null), token, Date.now())) {
    throw new RequestError(
      401,
      "Unauthorized",
      "The upload URL is not valid or has expired. Generate a new one.",
    );
  }
  const folder = filesFolder(state);
  mkdirSync(folder, { recursive: true });
  const blob = randomUUID();
  const part = join(folder, `${blob}.part`);
  const hash = createHash("sha256");
  let size = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > MAX_FILE_BYTES) {
        done(new RequestError(413, "FileTooLarge", `The file is larger than ${MAX_FILE_BYTES} bytes.`));
        return;
      }
      hash.update(chunk);
      done(null, chunk);
    },
  });
  try {
    await pipeline(exchange.request, measure, createWriteStream(part, { mode: 0o600, flush: false }));
    const digest = hash.digest();
    checkDigest(exchange, digest);
    await rename(part, join(folder, blob));
    const contentType = exchange.header("content-type") ?? null;
    const sha256 = digest.toString("hex");
    const storageId = await runtime.request("recordFile", { blob, sha256, size, contentType });
    exchange.sendJson({ storageId });
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

function checkDigest(exchange: Exchange, digest: Buffer): void {
  const given = /^sha-256=(.+)$/i.exec(exchange.header("digest") ?? "")?.[1] ?? exchange.header("sha256");
  if (given === undefined || given === digest.toString("base64") || given === digest.toString("hex")) return;
  throw new RequestError(
    400,
    "Sha256Mismatch",
    "The uploaded file does not match the sha256 in the Digest header.",
  );
}

/** GET /api/storage/<blob>: the contents, whoever asks: the URL itself is the secret, as on Convex. */
export async function serveDownload(
  exchange: Exchange,
  runtime: RuntimeThread,
  state: string,
): Promise<void> {
  const blob = exchange.url.pathname.slice("/api/storage/".length);
  const file = BLOB.test(blob) ? await runtime.request("findFile", { blob }) : null;
  if (file === null) throw new RequestError(404, "FileNotFound", "File not found.");
  exchange.response.writeHead(200, {
    "access-control-allow-origin": "*",
    "content-type": file.contentType ?? "application/octet-stream",
    "content-length": file.size,
    "cache-control": "private, max-age=2592000",
    digest: `sha-256=${Buffer.from(file.sha256, "hex").toString("base64")}`,
  });
  if (exchange.request.method === "HEAD") {
    exchange.response.end();
    return;
  }
  await pipeline(createReadStream(join(filesFolder(state), blob)), exchange.response);
}
