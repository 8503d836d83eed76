import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  acceptedHashes,
  decideUse,
  keyIdOfHeader,
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
  const MINUTE_MS = 60_000;
  /** How many of that many requests at one moment are let in, and what the bucket then holds. */
  function burst(use: UseFacts | null, limit: number, now: number, requests: number) {
    let [allowed, after] = [0, use];
    for (let index = 0; index < requests; index += 1) {
      const decision = decideUse(after, limit, now);
      if (!decision.allowed) continue;
      allowed += 1;
      after = decision.use;
    }
    return { allowed, use: after };
  }

  test("a rested key may spend a minute's worth at once, and no more", () => {
    expect(burst(null, 600, 0, 1_000).allowed).toBe(600);
    expect(burst({ tokens: 0, at: 0 }, 600, 60 * MINUTE_MS, 1_000).allowed).toBe(600);
  });

  test("refills evenly, not at the turn of the minute", () => {
    const { use } = burst(null, 60, 59_999, 60);
    expect(burst(use, 60, 60_000, 60).allowed).toBe(0);
    expect(burst(use, 60, 60_999, 60).allowed).toBe(1);
    expect(burst(use, 60, 69_999, 60).allowed).toBe(10);
  });

  test("says when the next request is free, and being refused takes nothing", () => {
    const { use } = burst(null, 10, 0, 10);
    expect(decideUse(use, 10, 0)).toEqual({ allowed: false, retryAfterS: 6 });
    expect(decideUse(use, 10, 5_000)).toEqual({ allowed: false, retryAfterS: 1 });
    expect(decideUse(use, 10, 6_000)).toMatchObject({ allowed: true });
  });

  test("a lowered limit holds at once, and a clock that steps back neither gives nor takes", () => {
    expect(burst({ tokens: 600, at: 0 }, 5, 0, 100).allowed).toBe(5);
    expect(decideUse({ tokens: 0, at: 10_000 }, 60, 0).allowed).toBe(false);
    expect(decideUse({ tokens: 1, at: 10_000 }, 60, 0).allowed).toBe(true);
  });

  test("in any span at most the burst and the refill are let in, and who waits as told is let in", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 80 }),
        (limit, pauses) => {
          const allowedAt: number[] = [];
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
            allowedAt.push(now);
          }
          for (const [index, from] of allowedAt.entries()) {
            const until = allowedAt.at(-1) as number;
            const most = limit + ((until - from) * limit) / MINUTE_MS;
            expect(allowedAt.length - index).toBeLessThanOrEqual(most + 1e-6);
          }
        },
      ),
    );
  });
});
