/**
 * Envelope encryption: each version of a secret has its own data key, which encrypts the value; a master key
 * wraps the data key. Both AES-256-GCM, both bound to ref and version, so that a row copied over another one
 * does not decrypt. Rotating the master key re-wraps the small data keys and touches no value.
 */
import { FactoryError } from "../errors.ts";
import { type KeyRing, parseKeyRing } from "../policy/keyRing.ts";
import { type Bytes, fromBase64, toBase64, utf8 } from "./digest.ts";

const IV_BYTES = 12;
const KEY_BYTES = 32;

export type SecretName = { secretRef: string; version: number };
export type Sealed = { keyId: string; wrappedKey: string; ciphertext: string };

/** @throws not_configured when the key ring is missing or malformed: nothing is read or written without it. */
export function readKeyRing(): KeyRing {
  const result = parseKeyRing(process.env.SECRETS_KEY_RING);
  if (!result.ok) throw new FactoryError("not_configured", result.problem);
  return result.ring;
}

function associatedData(name: SecretName, layer: "value" | "key"): Bytes {
  return utf8(JSON.stringify([layer, name.secretRef, name.version]));
}

async function importKey(raw: Bytes): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** base64 of IV and ciphertext. Needs cryptographic randomness: actions only. */
async function encrypt(key: CryptoKey, plain: Bytes, additionalData: Bytes): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, plain);
  const joined = new Uint8Array(IV_BYTES + sealed.byteLength);
  joined.set(iv);
  joined.set(new Uint8Array(sealed), IV_BYTES);
  return toBase64(joined);
}

async function decrypt(key: CryptoKey, text: string, additionalData: Bytes): Promise<Bytes> {
  const joined = fromBase64(text);
  const iv = joined.slice(0, IV_BYTES);
  const sealed = joined.slice(IV_BYTES);
  return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, key, sealed));
}

async function masterKey(ring: KeyRing, keyId: string, name: SecretName): Promise<CryptoKey> {
  const encoded = Object.hasOwn(ring.keys, keyId) ? ring.keys[keyId] : undefined;
  if (encoded === undefined) {
    throw new FactoryError(
      "decryption_failed",
      `Secret '${name.secretRef}' version ${name.version} is wrapped with key '${keyId}', which SECRETS_KEY_RING does not hold. Put that key back or import the secret again.`,
    );
  }
  return await importKey(fromBase64(encoded));
}

async function unwrap(name: SecretName, sealed: Sealed, ring: KeyRing): Promise<Bytes> {
  const master = await masterKey(ring, sealed.keyId, name);
  try {
    return await decrypt(master, sealed.wrappedKey, associatedData(name, "key"));
  } catch {
    throw undecryptable(name);
  }
}

function undecryptable({ secretRef, version }: SecretName): FactoryError {
  return new FactoryError(
    "decryption_failed",
    `Secret '${secretRef}' version ${version} cannot be decrypted: its row or its key was changed. Import it again.`,
  );
}

/** Encrypts a value under a fresh data key. Actions only. */
export async function seal(name: SecretName, plaintext: string, ring: KeyRing): Promise<Sealed> {
  const dataKey = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  const master = await masterKey(ring, ring.active, name);
  return {
    keyId: ring.active,
    wrappedKey: await encrypt(master, dataKey, associatedData(name, "key")),
    ciphertext: await encrypt(await importKey(dataKey), utf8(plaintext), associatedData(name, "value")),
  };
}

/** @throws decryption_failed, naming ref and version and nothing else. */
export async function open(name: SecretName, sealed: Sealed, ring: KeyRing): Promise<string> {
  const dataKey = await unwrap(name, sealed, ring);
  try {
    const plain = await decrypt(await importKey(dataKey), sealed.ciphertext, associatedData(name, "value"));
    return new TextDecoder().decode(plain);
  } catch {
    throw undecryptable(name);
  }
}

/** The same data key under the active master key. Actions only. */
export async function rewrap(
  name: SecretName,
  sealed: Sealed,
  ring: KeyRing,
): Promise<Pick<Sealed, "keyId" | "wrappedKey">> {
  const dataKey = await unwrap(name, sealed, ring);
  const master = await masterKey(ring, ring.active, name);
  return { keyId: ring.active, wrappedKey: await encrypt(master, dataKey, associatedData(name, "key")) };
}
