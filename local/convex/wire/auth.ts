import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import * as z from "zod";
import { RequestError } from "../engine/errors.ts";
import type { Caller, UserIdentity } from "../runtime/protocol.ts";

const identitySchema = z.looseObject({
  subject: z.string().optional(),
  issuer: z.string().optional(),
  tokenIdentifier: z.string().optional(),
});

const ANONYMOUS: Caller = { admin: false, identity: null };

/** Reads the admin key, creating it on first use. The file is readable by its owner only. */
export function loadAdminKey(path: string): string {
  if (!existsSync(path)) {
    writeFileSync(path, `local|${randomBytes(32).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  }
  const key = readFileSync(path, "utf8").trim();
  if (key === "") throw new Error(`The admin key file ${path} is empty. Delete it to have a new key made.`);
  return key;
}

/** Fills in what Convex derives when somebody acts as a user. */
function completed(identity: z.infer<typeof identitySchema>): UserIdentity {
  const issuer = identity.issuer ?? "https://convex.test";
  const subject = identity.subject ?? "user";
  return {
    ...identity,
    issuer,
    subject,
    tokenIdentifier: identity.tokenIdentifier ?? `${issuer}|${subject}`,
  };
}

/** Decides who is calling. */
export class Authenticator {
  readonly #digest: Buffer;

  constructor(adminKey: string) {
    this.#digest = createHash("sha256").update(adminKey).digest();
  }

  isAdminKey(key: string): boolean {
    // Hashed first: equal lengths, and a comparison whose time says nothing about the key.
    return timingSafeEqual(createHash("sha256").update(key).digest(), this.#digest);
  }

  /** The caller behind an Authorization header. Throws for a credential that is not valid. */
  caller(header: string | undefined): Caller {
    if (header === undefined || header === "") return ANONYMOUS;
    const [scheme, credential = ""] = header.split(/\s+/, 2);
    if (scheme === "Convex") return this.admin(credential);
    if (scheme === "Bearer") return refuseToken();
    throw new RequestError(
      401,
      "MalformedAccessToken",
      'The Authorization header must begin with "Convex" or "Bearer".',
    );
  }

  /** The caller behind an admin key, optionally followed by `:` and a base64 identity to act as. */
  admin(credential: string, impersonating?: unknown): Caller {
    const separator = credential.indexOf(":");
    const key = separator === -1 ? credential : credential.slice(0, separator);
    if (!this.isAdminKey(key)) {
      throw new RequestError(
        403,
        "BadDeployKey",
        "The provided deploy key was invalid for this deployment. Double check that the environment this key was generated for matches the desired deployment.",
      );
    }
    const acting = separator === -1 ? impersonating : decodeIdentity(credential.slice(separator + 1));
    if (acting === undefined || acting === null) return { admin: true, identity: null };
    const parsed = identitySchema.safeParse(acting);
    if (!parsed.success)
      throw new RequestError(400, "InvalidIdentity", "The identity to act as must be a JSON object.");
    return { admin: true, identity: completed(parsed.data) };
  }

  /** Requires the admin key, in the header or in the body as some deploy requests carry it. */
  requireAdmin(header: string | undefined, bodyKey?: string): void {
    if (bodyKey !== undefined && this.isAdminKey(bodyKey)) return;
    if (header === undefined && bodyKey === undefined) {
      throw new RequestError(401, "MissingAccessToken", "This request needs the deployment's admin key.");
    }
    if (!this.caller(header ?? `Convex ${bodyKey}`).admin) {
      throw new RequestError(403, "BadDeployKey", "This request needs the deployment's admin key.");
    }
  }
}

/** The local deployment has no auth providers, so no user token can be valid. */
export function refuseToken(): never {
  throw new RequestError(
    401,
    "NoAuthProvider",
    "No auth provider found matching the given token: the local deployment has none. Use the admin key to act as a user.",
  );
}

function decodeIdentity(encoded: string): unknown {
  try {
    return JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
  } catch {
    throw new RequestError(400, "InvalidIdentity", "The identity to act as must be base64 of a JSON object.");
  }
}
