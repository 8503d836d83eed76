import { expect, test } from "vitest";
import { createFloodControl, TELEGRAM_FLOOD_LIMITS } from "./flood.ts";
import { startWorld } from "./testing/world.ts";

const refusal = (act: () => void): number | undefined => {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as { retryAfterSeconds: number }).retryAfterSeconds;
  }
};

test("one message a second per chat; the refused one does not count", () => {
  const flood = createFloodControl(TELEGRAM_FLOOD_LIMITS);
  expect(refusal(() => flood.admit(1, 10, 0))).toBeUndefined();
  expect(refusal(() => flood.admit(1, 10, 400))).toBe(1);
  expect(refusal(() => flood.admit(1, 10, 1_000))).toBeUndefined();
});

test("thirty messages a second over all chats, per bot", () => {
  const flood = createFloodControl(TELEGRAM_FLOOD_LIMITS);
  for (let chat = 1; chat <= 30; chat++) flood.admit(1, chat, 0);
  expect(refusal(() => flood.admit(1, 31, 0))).toBe(1);
  expect(refusal(() => flood.admit(2, 31, 0))).toBeUndefined();
});

test("twenty messages a minute in a group", () => {
  const flood = createFloodControl(TELEGRAM_FLOOD_LIMITS);
  for (let second = 0; second < 20; second++) flood.admit(1, -5, second * 1_000);
  expect(refusal(() => flood.admit(1, -5, 20_000))).toBe(40);
});

test("a message too fast is answered 429 with how long to wait, and is not sent", async () => {
  let now = 1_000_000;
  const world = await startWorld({ floodLimits: TELEGRAM_FLOOD_LIMITS, now: () => now });
  await world.say("hi");
  const message = { chat_id: 77, text: "x" };
  expect((await world.bot("sendMessage", message)).ok).toBe(true);
  const refused = await world.bot("sendMessage", message);
  expect(refused).toMatchObject({
    status: 429,
    description: "Too Many Requests: retry after 1",
    parameters: { retry_after: 1 },
  });
  now += 1_000;
  expect((await world.bot("sendMessage", message)).result.message_id).toBe(3);
});
