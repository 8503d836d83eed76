/** One file into the deployment's storage. */
import { insist } from "../insist.ts";

const UPLOAD_TIMEOUT_MS = 60_000;
/** About ten seconds of trying: longer than a deployment takes to come back. */
const ATTEMPTS_MAX = 8;

/**
 * Posts one file to an upload URL; a broken connection or a busy deployment is tried again.
 *
 * @returns its storage id.
 */
export async function uploadBlob(
  uploadUrl: string,
  body: Buffer,
  signal: AbortSignal,
  contentType: string,
): Promise<string> {
  return await insist(() => post(uploadUrl, body, signal, contentType), {
    mayPass: (error) => !(error instanceof UploadRefused) || error.status >= 500 || error.status === 429,
    signal,
    attemptsMax: ATTEMPTS_MAX,
  });
}

class UploadRefused extends Error {
  override name = "UploadRefused";
  readonly status: number;
  constructor(status: number) {
    super(`Upload failed with status ${status}`);
    this.status = status;
  }
}

async function post(
  uploadUrl: string,
  body: Buffer,
  signal: AbortSignal,
  contentType: string,
): Promise<string> {
  const response = await fetch(uploadUrl, {
    method: "POST",
    headers: { "content-type": contentType },
    body: new Uint8Array(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(UPLOAD_TIMEOUT_MS)]),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new UploadRefused(response.status);
  }
  const { storageId } = (await response.json()) as { storageId?: unknown };
  if (typeof storageId !== "string") throw new Error("Upload returned no storageId");
  return storageId;
}
