/**
 * Ten thousand webhook calls of people who mean no good: forged, malformed, oversized, replayed. None may change
 * anything, end in a server error or be told anything worth knowing.
 */
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  deliver,
  fakeTelegram,
  headerOf,
  MASTER_SECRET,
  messageUpdate,
  NOW,
  openWorld,
  PREVIOUS_SECRET,
  SHARED_TOKEN,
  type World,
} from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  fakeTelegram();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const TABLES = [
  "messageQueue",
  "conversations",
  "conversationHeads",
  "telegramUpdates",
  "telegramChats",
  "chatConversations",
  "identityBindings",
  "pairingCodes",
  "pairingAttempts",
  "outbox",
  "outboxLanes",
  "auditLog",
] as const;

/** Everything that ingress could have written. */
async function stateOf(t: World): Promise<string> {
  return await t.run(async (ctx) => {
    const rows: Record<string, unknown> = {};
    for (const table of TABLES) rows[table] = await ctx.db.query(table).collect();
    return JSON.stringify(rows);
  });
}

async function assertHarmless(response: Response, allowed: readonly number[]): Promise<void> {
  expect(allowed).toContain(response.status);
  const text = await response.text();
  for (const secret of [MASTER_SECRET, PREVIOUS_SECRET, SHARED_TOKEN, "    at ", ".ts:"])
    expect(text).not.toContain(secret);
}

const HEADER_CHARS = "ABCxyz019_- .=".split("");
const forgedHeader = fc.oneof(
  fc.constant(null),
  fc.string({ unit: fc.constantFrom(...HEADER_CHARS), maxLength: 300 }),
  fc.constantFrom("900", SHARED_TOKEN, "undefined", "null", "true"),
);
const path = fc.oneof(
  fc.constant("/agent-factory/telegram/webhook"),
  fc
    .oneof(
      fc.string({ maxLength: 40 }),
      fc.constantFrom("default", "a/b", "..", "%2e%2e", "%ff", "%", "__proto__"),
    )
    .map((segment) => `/agent-factory/telegram/webhook/${segment.replaceAll(/[?#\\\s]/g, "")}`),
);
const anyBody = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.jsonValue().map((message) => JSON.stringify({ update_id: 1, message })),
  fc.constant(undefined).map(() => JSON.stringify(messageUpdate("let me in"))),
  fc.constantFrom(
    "x".repeat(300_000),
    "[".repeat(50_000),
    '{"update_id":1e999}',
    '{"__proto__":{"update_id":1}}',
  ),
);

test("8,000 forged calls are refused and leave no trace", async () => {
  const t = await openWorld();
  const before = await stateOf(t);
  await fc.assert(
    fc.asyncProperty(forgedHeader, path, anyBody, async (header, where, body) => {
      await assertHarmless(await deliver(t, { body, path: where, header }), [403, 404]);
    }),
    { numRuns: 8_000 },
  );
  expect(await stateOf(t)).toBe(before);
}, 120_000);

test("2,000 malformed calls with the right secret are settled and leave no trace", async () => {
  const t = await openWorld();
  const header = await headerOf("telegram.botToken.default");
  const before = await stateOf(t);
  const malformed = fc.oneof(
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
  await fc.assert(
    fc.asyncProperty(malformed, async (body) => {
      await assertHarmless(await deliver(t, { body, header }), [200]);
    }),
    { numRuns: 2_000 },
  );
  expect(await stateOf(t)).toBe(before);
}, 120_000);
