import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  acceptedHashes,
  decideUse,
  keyIdOfHeader,
  MINUTE_MS,
  SERVICE_KEY_ID_BYTES,
  serviceKeyId,
  type UseFacts,
} from "./serviceKey.ts";

const anyId = fc
  .uint8Array({ minLength: SERVICE_KEY_ID_BYTES, maxLength: SERVICE_KEY_ID_BYTES })
  .map((bytes) => serviceKeyId(bytes));
const anySecret = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("base64url"));

describe("the header", () => {
  test("gives back the id of every key that can be made", () => {
    fc.assert(
      fc.property(anyId, anySecret, fc.constantFrom("Bearer", "bearer"), (id, secret, scheme) => {
        const key = `afk_${id}_${secret}`;
        expect(keyIdOfHeader(`${scheme} ${key}`)).toEqual({ keyId: id, key });
      }),
    );
  });

  const valid = `afk_${"a".repeat(12)}_${"b".repeat(43)}`;
  test.each([
    null,
    "",
    "Bearer",
    "Bearer ",
    valid,
    `Basic ${valid}`,
    `Bearer ${valid}x`,
    `Bearer ${valid} x`,
    `Bearer ${valid.slice(0, -1)}`,
    `Bearer ${valid.toUpperCase()}`,
    `Bearer ${valid.replace("_", "-")}`,
    `Bearer ${"x".repeat(100_000)}`,
  ])("is no service key: %j", (header) => {
    expect(keyIdOfHeader(header)).toBeNull();
  });
});

describe("which secret is accepted", () => {
  const key = { keyHash: "new", previousHash: "old", previousUntil: 100 };

  test("both while it rotates, the new one from the end of the overlap", () => {
    expect([99, 100].map((now) => acceptedHashes(key, now))).toEqual([["new", "old"], ["new"]]);
  });

  test("none from its expiry, none once revoked, also during a rotation", () => {
    expect([49, 50].map((now) => acceptedHashes({ ...key, expiresAt: 50 }, now))).toEqual([
      ["new", "old"],
      [],
    ]);
    expect(acceptedHashes({ ...key, revokedAt: 1_000 }, 0)).toEqual([]);
  });

  test("a former secret without an end of its overlap is not accepted", () => {
    expect(acceptedHashes({ keyHash: "new", previousHash: "old" }, 0)).toEqual(["new"]);
  });
});

describe("the limit per minute", () => {
  test("refuses what is beyond it and says when to come back", () => {
    expect(decideUse({ minute: 0, requests: 9 }, 10, 30_000)).toEqual({
      allowed: true,
      use: { minute: 0, requests: 10 },
    });
    expect(decideUse({ minute: 0, requests: 10 }, 10, 30_001)).toEqual({ allowed: false, retryAfterS: 30 });
    expect(decideUse({ minute: 0, requests: 10 }, 10, MINUTE_MS)).toEqual({
      allowed: true,
      use: { minute: 1, requests: 1 },
    });
  });

  test("holds in every minute for every pattern, and who waits as told is let in", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 60 }),
        (limit, pauses) => {
          const allowed = new Map<number, number>();
          let use: UseFacts | null = null;
          let now = 0;
          for (const pause of pauses) {
            now += pause;
            const decision = decideUse(use, limit, now);
            if (!decision.allowed) {
              expect(decideUse(use, limit, now + decision.retryAfterS * 1_000).allowed).toBe(true);
              continue;
            }
            ({ use } = decision);
            const minute = Math.floor(now / MINUTE_MS);
            allowed.set(minute, (allowed.get(minute) ?? 0) + 1);
          }
          expect(Math.max(0, ...allowed.values())).toBeLessThanOrEqual(limit);
        },
      ),
    );
  });
});
