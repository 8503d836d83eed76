import { createHash } from "node:crypto";
import { newToken, tokenId } from "../ids.ts";
import type { Database } from "../store/database.ts";

/** What a valid token may do: everything in its organization, or everything in one app. */
export type Principal =
  { kind: "org"; tokenId: string; org: string } | { kind: "app"; tokenId: string; org: string; app: string };

export interface TokenRow {
  id: string;
  name: string;
  org: string;
  app: string | null;
  createdAtMs: number;
  expiresAtMs: number | null;
}

export interface NewToken {
  name: string;
  org: string;
  app: string | null;
  expiresAtMs: number | null;
}

/** Removes any scheme (`Bearer`, `FlyV1`, or both in a row) so that one token has one form. */
export function bareToken(text: string): string {
  return text.trim().replace(/^(?:(?:Bearer|FlyV1)\s+)+/i, "");
}

const hashOf = (token: string): string => createHash("sha256").update(bareToken(token)).digest("hex");

function toRow(row: Record<string, unknown>): TokenRow {
  return {
    id: row["id"] as string,
    name: row["name"] as string,
    org: row["org"] as string,
    app: row["app"] as string | null,
    createdAtMs: row["created_at"] as number,
    expiresAtMs: row["expires_at"] as number | null,
  };
}

/** Tokens are kept as SHA-256 only: the plain text is returned once, at creation. */
export class TokenStore {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  create(input: NewToken): { id: string; token: string } {
    const token = newToken();
    return { id: this.#insert(input, token), token };
  }

  /** Registers a token whose text already exists (the org token read back from its file). Idempotent. */
  register(input: NewToken, token: string): void {
    const known = this.#database.prepare("SELECT id FROM tokens WHERE hash = ?").get(hashOf(token));
    if (known === undefined) this.#insert(input, token);
  }

  #insert(input: NewToken, token: string): string {
    const id = tokenId();
    this.#database
      .prepare(
        "INSERT INTO tokens (id, hash, name, org, app, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      )
      .run(id, hashOf(token), input.name, input.org, input.app, this.#now(), input.expiresAtMs);
    return id;
  }

  /** Null for an unknown, revoked or expired token. */
  authenticate(token: string): Principal | null {
    const row = this.#database.prepare("SELECT * FROM tokens WHERE hash = ?").get(hashOf(token));
    if (row === undefined) return null;
    const found = toRow(row);
    if (found.expiresAtMs !== null && found.expiresAtMs <= this.#now()) return null;
    return found.app === null
      ? { kind: "org", tokenId: found.id, org: found.org }
      : { kind: "app", tokenId: found.id, org: found.org, app: found.app };
  }

  listOfApp(app: string): TokenRow[] {
    return this.#database
      .prepare("SELECT * FROM tokens WHERE app = ? ORDER BY created_at, id")
      .all(app)
      .map(toRow);
  }

  findById(id: string): TokenRow | null {
    const row = this.#database.prepare("SELECT * FROM tokens WHERE id = ?").get(id);
    return row === undefined ? null : toRow(row);
  }

  findByText(token: string): TokenRow | null {
    const row = this.#database.prepare("SELECT * FROM tokens WHERE hash = ?").get(hashOf(token));
    return row === undefined ? null : toRow(row);
  }

  revoke(id: string): void {
    this.#database.prepare("DELETE FROM tokens WHERE id = ?").run(id);
  }
}
