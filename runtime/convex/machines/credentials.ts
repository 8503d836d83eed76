/** A worker's name and token. The token is derived, so that a repeated create sends the same one. */
import { FactoryError } from "../errors.ts";
import { fromBase64, hmacBase64Url, sha256Hex } from "../secrets/digest.ts";

/** Bytes of WORKER_TOKEN_KEY. */
const KEY_BYTES = 32;

/** `w-<owner>-<salt>-<n>`: unique in the app, and telling whose it is. At most 30 characters. */
export async function workerName(owner: string, salt: string, number: number): Promise<string> {
  const ownerHash = (await sha256Hex(owner)).slice(0, 6);
  return `w-${ownerHash}-${salt}-${number.toString(36)}`;
}

/**
 * The worker's token: HMAC-SHA256 of its id. Only its SHA-256 is stored.
 *
 * @param key WORKER_TOKEN_KEY of the deployment: base64 of 32 bytes.
 * @throws not_configured when the key is missing or malformed; nothing of it is shown.
 */
export async function workerToken(key: string | undefined, workerId: string): Promise<string> {
  let bytes;
  try {
    bytes = fromBase64(key ?? "");
  } catch {
    bytes = new Uint8Array(0);
  }
  if (bytes.length !== KEY_BYTES) {
    throw new FactoryError(
      "not_configured",
      "WORKER_TOKEN_KEY of this deployment must be base64 of 32 bytes. Run `pulumi up` for this stack.",
    );
  }
  return await hmacBase64Url(bytes, workerId);
}
