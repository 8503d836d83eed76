/** Webhook calls of people who mean no good: forged, malformed, oversized. */
import fc from "fast-check";

const HEADER_CHARS = "ABCxyz019_- .=".split("");

/** Values of the secret header that let nobody in; null: no header at all. `known` are guesses worth making. */
export const wrongSecret = (known: readonly string[]): fc.Arbitrary<string | null> =>
  fc.oneof(
    fc.constant(null),
    fc.string({ unit: fc.constantFrom(...HEADER_CHARS), maxLength: 300 }),
    fc.constantFrom("900", "undefined", "null", "true", ...known),
  );

/** The webhook's paths, and what looks like them. */
export const webhookPath = fc.oneof(
  fc.constant("/agent-factory/telegram/webhook"),
  fc
    .oneof(
      fc.string({ maxLength: 40 }),
      fc.constantFrom("default", "a/b", "..", "%2e%2e", "%ff", "%", "__proto__"),
    )
    .map((segment) => `/agent-factory/telegram/webhook/${segment.replaceAll(/[?#\\\s]/g, "")}`),
);

/** What a person would send who found the URL. */
const plausibleUpdate = JSON.stringify({
  update_id: 1,
  message: {
    message_id: 1,
    date: 1,
    chat: { id: 42, type: "private" },
    from: { id: 42, is_bot: false, first_name: "Ada" },
    text: "let me in",
  },
});

/** Bodies of any kind, well-formed updates among them. */
export const anyUpdate = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.jsonValue().map((message) => JSON.stringify({ update_id: 1, message })),
  fc.constant(plausibleUpdate),
  fc.constantFrom(
    "x".repeat(300_000),
    "[".repeat(50_000),
    '{"update_id":1e999}',
    '{"__proto__":{"update_id":1}}',
  ),
);

/** Bodies that no update of Telegram's has. */
export const malformedUpdate = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.string({ unit: "binary", maxLength: 300 }),
  fc
    .record({
      message_id: fc.jsonValue(),
      chat: fc.jsonValue(),
      from: fc.jsonValue(),
      text: fc.jsonValue(),
    })
    .map((message) => JSON.stringify({ update_id: 1, message })),
  fc.constantFrom(
    "x".repeat(300_000),
    "[".repeat(50_000),
    '{"update_id":-1}',
    '{"update_id":1,"message":{"message_id":1}}',
  ),
);
