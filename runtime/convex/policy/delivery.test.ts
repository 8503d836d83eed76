import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AttemptedPart,
  decideDelivery,
  DELIVERY_ATTEMPTS_MAX,
  deliveryBackoffMs,
  type SendOutcome,
} from "./delivery.ts";

const none = { plainText: false, withoutThread: false, asDocument: false };
const text: AttemptedPart = { attempts: 1, contentKind: "text", fallbacks: none, editing: "none" };
const file: AttemptedPart = { attempts: 1, contentKind: "file", fallbacks: none, editing: "none" };
const refused = (status: number, description: string, retryAfterS: number | null = null): SendOutcome => ({
  kind: "refused",
  status,
  description,
  retryAfterS,
  migrateToChatId: null,
});
const NOW = 1_000_000;

describe("after an attempt", () => {
  test("what may have arrived is never sent again", () => {
    expect(decideDelivery(text, { kind: "unknown", description: "timeout" }, NOW)).toEqual({
      next: "unknown",
      error: "timeout",
    });
  });

  test("429 waits exactly as long as Telegram asks", () => {
    expect(decideDelivery(text, refused(429, "Too Many Requests", 17), NOW)).toMatchObject({
      next: "retry",
      at: NOW + 17_000,
    });
  });

  test("429 without a retry_after waits a backoff of at least a second", () => {
    expect(decideDelivery(text, refused(429, "Too Many Requests"), NOW)).toMatchObject({ at: NOW + 1_000 });
  });

  test("refused HTML goes as plain text at once, and only once", () => {
    const first = decideDelivery(text, refused(400, "Bad Request: can't parse entities: …"), NOW);
    expect(first).toMatchObject({ next: "retry", at: NOW, fallbacks: { plainText: true } });
    const plain = { ...text, attempts: 2, fallbacks: { ...none, plainText: true } };
    expect(decideDelivery(plain, refused(400, "Bad Request: can't parse entities"), NOW)).toMatchObject({
      next: "failed",
      unreachable: false,
    });
  });

  test("a topic that is gone is left out", () => {
    expect(decideDelivery(text, refused(400, "Bad Request: message thread not found"), NOW)).toMatchObject({
      next: "retry",
      fallbacks: { withoutThread: true },
    });
  });

  test("a photo that Telegram dislikes goes as a document", () => {
    expect(decideDelivery(file, refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"), NOW)).toMatchObject({
      next: "retry",
      fallbacks: { asDocument: true },
    });
  });

  test("a group that became a supergroup is followed", () => {
    const outcome: SendOutcome = {
      kind: "refused",
      status: 400,
      description: "Bad Request: group chat was upgraded to a supergroup chat",
      retryAfterS: null,
      migrateToChatId: "-1001",
    };
    expect(decideDelivery(text, outcome, NOW)).toMatchObject({ next: "retry", at: NOW, chatId: "-1001" });
  });

  test("a person who blocked the bot is unreachable", () => {
    for (const outcome of [
      refused(403, "Forbidden: bot was blocked by the user"),
      refused(400, "Bad Request: chat not found"),
    ]) {
      expect(decideDelivery(text, outcome, NOW)).toMatchObject({ next: "failed", unreachable: true });
    }
  });

  test("a request that never left is tried again with growing pauses", () => {
    const decision = decideDelivery(
      { ...text, attempts: 3 },
      { kind: "not_sent", description: "refused" },
      NOW,
    );
    expect(decision).toMatchObject({ next: "retry", at: NOW + 4_000 });
  });

  test("an unknown refusal is final", () => {
    expect(decideDelivery(text, refused(400, "Bad Request: message text is empty"), NOW)).toMatchObject({
      next: "failed",
    });
  });
});

const anyOutcome: fc.Arbitrary<SendOutcome> = fc.oneof(
  fc.record({ kind: fc.constant("not_sent" as const), description: fc.string() }),
  fc.record({
    kind: fc.constant("refused" as const),
    status: fc.integer({ min: 300, max: 499 }),
    description: fc.oneof(
      fc.string(),
      fc.constantFrom("can't parse entities", "message thread not found", "PHOTO_INVALID", "Unauthorized"),
    ),
    retryAfterS: fc.option(fc.integer({ min: -5, max: 200_000 })),
    migrateToChatId: fc.option(fc.constantFrom("-1001", "-1002")),
  }),
);

test("any sequence of refusals ends within the attempts allowed", () => {
  fc.assert(
    fc.property(fc.array(anyOutcome, { minLength: 40, maxLength: 40 }), fc.boolean(), (outcomes, isFile) => {
      let part: AttemptedPart = { ...(isFile ? file : text), attempts: 0 };
      let now = NOW;
      for (const outcome of outcomes) {
        part = { ...part, attempts: part.attempts + 1 };
        const decision = decideDelivery(part, outcome, now);
        if (decision.next !== "retry") return;
        expect(decision.at).toBeGreaterThanOrEqual(now);
        expect(part.attempts).toBeLessThan(DELIVERY_ATTEMPTS_MAX);
        part = { ...part, fallbacks: decision.fallbacks };
        now = decision.at;
      }
      throw new Error("still retrying after 40 refusals");
    }),
  );
});

test("pauses never shrink and are bounded", () => {
  for (let attempts = 1; attempts < 50; attempts += 1) {
    expect(deliveryBackoffMs(attempts + 1)).toBeGreaterThanOrEqual(deliveryBackoffMs(attempts));
    expect(deliveryBackoffMs(attempts)).toBeLessThanOrEqual(120_000);
  }
});

describe("a call that changes a message", () => {
  const preview: AttemptedPart = { ...text, editing: "preview" };
  const takeover: AttemptedPart = { ...text, editing: "takeover" };
  const withdrawal: AttemptedPart = { ...takeover, contentKind: "withdrawal" };

  test("may be repeated when its outcome is unknown, a bounded number of times", () => {
    const unknown: SendOutcome = { kind: "unknown", description: "timeout" };
    expect(decideDelivery(takeover, unknown, NOW)).toMatchObject({ next: "retry", at: NOW + 1_000 });
    expect(decideDelivery({ ...takeover, attempts: DELIVERY_ATTEMPTS_MAX }, unknown, NOW)).toMatchObject({
      next: "unknown",
    });
  });

  test("has happened when Telegram finds nothing left to change", () => {
    const same = refused(400, "Bad Request: message is not modified: specified new message content …");
    expect(decideDelivery(takeover, same, NOW)).toEqual({ next: "sent", telegramMessageId: null });
    const gone = refused(400, "Bad Request: message to delete not found");
    expect(decideDelivery(withdrawal, gone, NOW)).toEqual({ next: "sent", telegramMessageId: null });
    expect(decideDelivery(text, same, NOW)).toMatchObject({ next: "failed" });
  });

  test("that is gone: an answer becomes a message of its own, a preview ends", () => {
    const gone = refused(400, "Bad Request: message to edit not found");
    expect(decideDelivery(takeover, gone, NOW)).toMatchObject({
      next: "retry",
      at: NOW,
      fallbacks: { asNewMessage: true },
    });
    expect(decideDelivery(preview, gone, NOW)).toMatchObject({ next: "failed", unreachable: false });
  });
});
