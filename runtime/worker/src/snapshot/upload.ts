/** One file into the deployment's storage. */
import { pause } from "../pause.ts";

const UPLOAD_TIMEOUT_MS = 60_000;
const ATTEMPTS_MAX = 3;
const RETRY_DELAY_MS = 400;

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
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await post(uploadUrl, body, signal, contentType);
    } catch (error) {
      signal.throwIfAborted();
      const final = error instanceof UploadRefused && error.status < 500 && error.status !== 429;
      if (final || attempt === ATTEMPTS_MAX) throw error;
      await pause(RETRY_DELAY_MS * attempt, signal);
    }
  }
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
