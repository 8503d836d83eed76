/** The master keys, from the deployment's environment variable SECRETS_KEY_RING. */
import * as z from "zod";

export type KeyRing = {
  /** Id of the key that wraps everything new. */
  active: string;
  /** Key id → base64 of 32 bytes. Old keys stay until everything is re-wrapped. */
  keys: Readonly<Record<string, string>>;
};

export type KeyRingResult = { ok: true; ring: KeyRing } | { ok: false; problem: string };

/** 32 bytes are 43 characters and one of padding; 31 and 33 bytes are 44 characters as well. */
const KEY_OF_32_BYTES = /^[A-Za-z0-9+/]{43}=$/;

const schema = z.strictObject({
  active: z.string().min(1).max(64),
  keys: z.record(z.string().min(1).max(64), z.string().regex(KEY_OF_32_BYTES)),
});

/** Parses the variable. A problem never quotes any part of the value. */
export function parseKeyRing(text: string | undefined): KeyRingResult {
  if (text === undefined || text.trim() === "") {
    return { ok: false, problem: "SECRETS_KEY_RING is not set. Run `pulumi up` for this stack." };
  }
  const wanted = 'expected {"active":"<id>","keys":{"<id>":"<base64 of 32 bytes>"}}';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, problem: `SECRETS_KEY_RING is not JSON; ${wanted}` };
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) return { ok: false, problem: `SECRETS_KEY_RING has the wrong shape; ${wanted}` };
  if (!Object.hasOwn(parsed.data.keys, parsed.data.active)) {
    return { ok: false, problem: "SECRETS_KEY_RING names an active key that is not among its keys" };
  }
  return { ok: true, ring: parsed.data };
}
