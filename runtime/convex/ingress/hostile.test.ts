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
  NOW,
  openWorld,
  PREVIOUS_SECRET,
  SHARED_TOKEN,
  type World,
} from "../testing/channels.fixture.ts";
import { anyUpdate, malformedUpdate, webhookPath, wrongSecret } from "../testing/hostileUpdates.fixture.ts";

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

test("8,000 forged calls are refused and leave no trace", async () => {
  const t = await openWorld();
  const before = await stateOf(t);
  await fc.assert(
    fc.asyncProperty(wrongSecret([SHARED_TOKEN]), webhookPath, anyUpdate, async (header, where, body) => {
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
  await fc.assert(
    fc.asyncProperty(malformedUpdate, async (body) => {
      await assertHarmless(await deliver(t, { body, header }), [200]);
    }),
    { numRuns: 2_000 },
  );
  expect(await stateOf(t)).toBe(before);
}, 120_000);
