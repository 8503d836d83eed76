import { expect, test } from "vitest";
import { startWorld, TOKEN, type World } from "./testing/world.ts";
import type { Json } from "../service/testing/json.ts";

const send = { chat_id: 77, text: "x" };
const sentCount = async (world: World): Promise<number> =>
  (await world.control("transcript?bot=test_bot&chatId=77")).entries.filter(
    (entry: Json) => entry.direction === "out",
  ).length;

async function worldWith(rule: object): Promise<World> {
  const world = await startWorld();
  await world.say("hi");
  await world.control("faults", rule);
  return world;
}

/** A call whose answer may never come. */
const callOrFail = (world: World, timeoutMs: number): Promise<string> =>
  fetch(`${world.url}/bot${TOKEN}/sendMessage?chat_id=77&text=x`, {
    signal: AbortSignal.timeout(timeoutMs),
  }).then(
    (response) => `answered ${response.status}`,
    (error: Error) => (error.name === "TimeoutError" ? "no answer" : "cut"),
  );

test("a status is answered without acting, as often as the rule says, from the nth call on", async () => {
  const world = await worldWith({
    kind: "status",
    status: 429,
    retryAfter: 3,
    method: "sendMessage",
    nth: 2,
    times: 2,
  });
  const statuses = [];
  for (let call = 0; call < 5; call++) statuses.push((await world.bot("sendMessage", send)).status);
  expect(statuses).toEqual([200, 429, 429, 200, 200]);
  expect(await sentCount(world)).toBe(3);
  const { rules } = await world.control("faults");
  expect(rules).toMatchObject([{ matched: 5, hits: 2 }]);
});

test("a status may carry any body", async () => {
  const world = await worldWith({ kind: "status", status: 502, body: "<html>bad gateway</html>" });
  const response = await fetch(`${world.url}/bot${TOKEN}/getMe`);
  expect([response.status, await response.text()]).toEqual([502, "<html>bad gateway</html>"]);
});

test.each([
  ["hang", "no answer", 0],
  ["actThenHang", "no answer", 1],
  ["reset", "cut", 0],
  ["actThenReset", "cut", 1],
])("%s: the caller sees '%s' and %i messages were sent", async (kind, seen, sent) => {
  const world = await worldWith({ kind, method: "sendMessage" });
  expect(await callOrFail(world, 150)).toBe(seen);
  expect(await sentCount(world)).toBe(sent);
});

test("a hang ends by itself", async () => {
  const world = await worldWith({ kind: "hang", ms: 50 });
  expect(await callOrFail(world, 20_000)).toBe("cut");
});

test("a slow call is answered, later", async () => {
  const world = await worldWith({ kind: "slow", ms: 120 });
  const started = performance.now();
  expect((await world.bot("sendMessage", send)).ok).toBe(true);
  expect(performance.now() - started).toBeGreaterThanOrEqual(115);
});

test("a rule hits only its own bot, method and chat", async () => {
  const world = await worldWith({ kind: "status", status: 500, bot: "other_bot", times: null });
  await world.control("faults", {
    kind: "status",
    status: 500,
    method: "sendmessage",
    chatId: 78,
    times: null,
  });
  expect((await world.bot("sendMessage", send)).ok).toBe(true);
  expect((await world.bot("sendMessage", { ...send, chat_id: 78 })).status).toBe(500);
  expect((await world.bot("sendChatAction", { chat_id: 78, action: "typing" })).status).toBe(400);
});

test("cleared rules hit nothing, and a wrong rule is refused by name", async () => {
  const world = await worldWith({ kind: "status", status: 500, times: null });
  await world.control("faults", undefined, "DELETE");
  expect((await world.bot("getMe")).ok).toBe(true);
  expect((await world.control("faults", { kind: "explode" })).error).toContain("kind");
});
