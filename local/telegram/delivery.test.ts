import { expect, test } from "vitest";
import { eventually, PERSON, startWebhook, startWorld, type World } from "./testing/world.ts";
import type { Json } from "../service/testing/json.ts";

const info = async (world: World): Promise<Json> => (await world.bot("getWebhookInfo")).result;
const settled = (world: World): Promise<Json> =>
  eventually(
    () => info(world),
    (found) => found.pending_update_count === 0,
  );

const person = (id: number): object => ({ bot: "test_bot", chatId: id, from: { id, first_name: `P${id}` } });

test("an update arrives once, as JSON, with the secret in its header", async () => {
  const world = await startWorld();
  const webhook = await startWebhook();
  const answer = await world.bot("setWebhook", { url: webhook.url, secret_token: "s3cret_-" });
  expect(answer).toMatchObject({ result: true, description: "Webhook was set" });
  const { update_id } = await world.say("hello");
  await settled(world);
  expect(webhook.received).toHaveLength(1);
  const [{ headers, update }] = webhook.received as [(typeof webhook.received)[0]];
  expect(headers).toMatchObject({
    "x-telegram-bot-api-secret-token": "s3cret_-",
    "content-type": "application/json",
  });
  expect(update).toMatchObject({ update_id, message: { text: "hello" } });
});

test("what was written before the webhook was set is delivered, unless it is dropped on purpose", async () => {
  const world = await startWorld();
  const webhook = await startWebhook();
  await world.say("early");
  await world.bot("setWebhook", { url: webhook.url, drop_pending_updates: true });
  await world.say("late");
  await settled(world);
  await world.bot("deleteWebhook");
  await world.say("between");
  await world.bot("setWebhook", { url: webhook.url });
  await settled(world);
  expect(webhook.received.map(({ update }) => update.message.text)).toEqual(["late", "between"]);
});

test("a failing update is sent again until it is accepted, and holds back only its own chat", async () => {
  const world = await startWorld({ timeScale: 100 });
  const failures = new Map<number, number>();
  const webhook = await startWebhook((_index, update) => {
    const count = failures.get(update.update_id) ?? 0;
    failures.set(update.update_id, count + 1);
    return { status: update.message.text === "poison" && count < 3 ? 500 : 202 };
  });
  await world.bot("setWebhook", { url: webhook.url });
  await world.control("messages", { ...person(1), text: "poison" });
  await world.control("messages", { ...person(1), text: "after" });
  await world.control("messages", { ...person(2), text: "other" });
  await settled(world);
  const texts = webhook.received.map(({ update }) => update.message.text);
  expect(texts.filter((text) => text !== "other")).toEqual(["poison", "poison", "poison", "poison", "after"]);
  expect(texts.indexOf("other")).toBeLessThan(texts.indexOf("after"));
  const { attempts } = await world.control("webhook?bot=test_bot");
  expect(
    attempts.map((attempt: Json) => attempt.status).filter((status: number) => status === 500),
  ).toHaveLength(3);
});

test("the last error is kept, and Telegram's wording says what went wrong", async () => {
  const world = await startWorld({ timeScale: 0.001 });
  const webhook = await startWebhook(() => ({ status: 403 }));
  await world.bot("setWebhook", { url: webhook.url });
  await world.say("x");
  await webhook.count(2);
  const failed = await eventually(
    () => info(world),
    (found) => found.last_error_message !== undefined,
  );
  expect(failed).toMatchObject({
    pending_update_count: 1,
    last_error_message: "Wrong response from the webhook: 403 Forbidden",
    last_error_date: expect.any(Number),
  });
});

test("a new address gets the pending updates at once, and nobody there is a refused connection", async () => {
  const world = await startWorld({ timeScale: 0.001 });
  const gone = await startWebhook(() => ({ status: 500 }));
  await world.bot("setWebhook", { url: gone.url });
  await world.say("x");
  await gone.count(2);
  await gone.close();
  await world.bot("setWebhook", { url: gone.url, max_connections: 7 });
  const refused = await eventually(
    () => info(world),
    (found) => found.last_error_message === "Connection refused",
  );
  expect(refused).toMatchObject({ last_error_message: "Connection refused", max_connections: 7 });
  const working = await startWebhook();
  await world.bot("setWebhook", { url: working.url });
  await settled(world);
  expect(working.received).toHaveLength(1);
});

test("a silent webhook counts as failed after its time", async () => {
  const world = await startWorld({ webhookTimeoutMs: 50, timeScale: 0.001 });
  const webhook = await startWebhook(() => ({ status: 200, delayMs: 3_000 }));
  await world.bot("setWebhook", { url: webhook.url });
  await world.say("x");
  const failed = await eventually(
    () => info(world),
    (found) => found.last_error_message !== undefined,
  );
  expect(failed.last_error_message).toBe("Read timeout expired");
});

test("Retry-After is obeyed, scaled like every wait", async () => {
  const world = await startWorld({ timeScale: 100 });
  const webhook = await startWebhook((index) =>
    index === 0 ? { status: 429, headers: { "retry-after": "30" } } : { status: 200 },
  );
  await world.bot("setWebhook", { url: webhook.url });
  await world.say("x");
  await webhook.count(2);
  const [first, second] = webhook.received as [Json, Json];
  expect(second.at - first.at).toBeGreaterThanOrEqual(290);
});

test("chats are served side by side up to max_connections, each in order", async () => {
  const world = await startWorld();
  const webhook = await startWebhook(() => ({ status: 200, delayMs: 30 }));
  await world.bot("setWebhook", { url: webhook.url, max_connections: 3 });
  for (let round = 0; round < 3; round++) {
    for (let id = 1; id <= 5; id++)
      await world.control("messages", { ...person(id), text: `${id}:${round}` });
  }
  await settled(world);
  expect(webhook.mostAtOnce()).toBe(3);
  const texts = webhook.received.map(({ update }) => update.message.text as string);
  for (let id = 1; id <= 5; id++) {
    expect(texts.filter((text) => text.startsWith(`${id}:`))).toEqual(
      [0, 1, 2].map((round) => `${id}:${round}`),
    );
  }
});

test("a 2xx answer that names a method performs it; one that names setWebhook or get… does not", async () => {
  const world = await startWorld();
  const calls = [
    { method: "setWebhook", url: "" },
    { method: "sendMessage", chat_id: PERSON.id, text: "from the webhook" },
  ];
  const webhook = await startWebhook((index) => ({
    status: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(calls[index]),
  }));
  await world.bot("setWebhook", { url: webhook.url });
  await world.say("one");
  await world.say("two");
  const { entry } = await world.control("wait?bot=test_bot&chatId=77");
  expect(entry.body.text).toBe("from the webhook");
  expect((await info(world)).url).toBe(webhook.url);
});

test("updates of kinds that were not asked for are never delivered, and the choice outlives later calls", async () => {
  const world = await startWorld();
  const webhook = await startWebhook();
  await world.bot("setWebhook", { url: webhook.url, allowed_updates: ["message"] });
  const { message_id } = await world.say("hi");
  await world.bot("setWebhook", { url: webhook.url, secret_token: "changed" });
  expect(await info(world)).toMatchObject({ allowed_updates: ["message"] });
  const edited = await world.control("edits", { bot: "test_bot", chatId: 77, message_id, text: "ho" });
  expect(edited.update_id).toBeNull();
});

test("getUpdates is refused while a webhook is set", async () => {
  const world = await startWorld();
  await world.bot("setWebhook", { url: "http://127.0.0.1:9/x" });
  expect(await world.bot("getUpdates")).toMatchObject({ status: 409, ok: false, error_code: 409 });
  await world.bot("deleteWebhook");
  expect((await world.bot("getUpdates")).ok).toBe(true);
});

test("the same settings again are accepted without cutting deliveries", async () => {
  const world = await startWorld();
  const settings = { url: "http://127.0.0.1:9/x", secret_token: "a" };
  await world.bot("setWebhook", settings);
  expect((await world.bot("setWebhook", settings)).description).toBe("Webhook is already set");
  expect((await world.bot("deleteWebhook")).description).toBe("Webhook was deleted");
  expect((await world.bot("deleteWebhook")).description).toBe("Webhook is already deleted");
});

test.each([
  [{ url: "ftp://example.com/x" }, /HTTPS URL must be provided/],
  [{ url: "http://example.com/x" }, /HTTPS URL must be provided/],
  [{ url: "https://example.com:3000/x" }, /ports 80, 88, 443 or 8443/],
  [{ url: "nonsense" }, /invalid webhook URL/],
  [{ url: "https://example.com/x", secret_token: "no spaces" }, /secret token contains unallowed characters/],
  [{ url: "https://example.com/x", secret_token: "a".repeat(257) }, /secret token is too long/],
  [{ url: "https://example.com/x", allowed_updates: "message" }, /can't parse allowed updates/],
])("setWebhook refuses %j and keeps what was set", async (settings, problem) => {
  const world = await startWorld();
  await world.bot("setWebhook", { url: "http://127.0.0.1:9/kept" });
  expect(await world.bot("setWebhook", settings)).toMatchObject({
    status: 400,
    description: expect.stringMatching(problem),
  });
  expect((await info(world)).url).toBe("http://127.0.0.1:9/kept");
});

test("a webhook that answers 410 for more than 23 hours is closed", async () => {
  let now = 1_700_000_000_000;
  const world = await startWorld({ now: () => now });
  const webhook = await startWebhook(() => {
    now += 12 * 3_600_000 - 1;
    return { status: 410 };
  });
  await world.bot("setWebhook", { url: webhook.url });
  // Two chats, so that both have their immediate second attempt.
  await world.control("messages", { ...person(1), text: "a" });
  await world.control("messages", { ...person(2), text: "b" });
  const closed = await eventually(
    () => info(world),
    (found) => found.url === "",
  );
  expect(closed.url).toBe("");
});

test("copies of an update go out at the same time, each with the secret, and are logged as copies", async () => {
  const world = await startWorld();
  const webhook = await startWebhook(() => ({ status: 200, delayMs: 20 }));
  await world.bot("setWebhook", { url: webhook.url, secret_token: "abc" });
  const { update_id } = await world.say("once");
  await settled(world);
  const copies = { bot: "test_bot", update_id, copies: 20, concurrency: 10 };
  const { results } = await world.control("duplicate", copies);
  expect(results.map((result: Json) => result.status)).toEqual(Array.from({ length: 20 }, () => 200));
  expect(webhook.received).toHaveLength(21);
  expect(webhook.mostAtOnce()).toBe(10);
  expect(new Set(webhook.received.map(({ update }) => update.update_id))).toEqual(new Set([update_id]));
  expect(webhook.received.at(-1)?.headers["x-telegram-bot-api-secret-token"]).toBe("abc");
  const { attempts } = await world.control("webhook?bot=test_bot");
  expect(attempts.filter((attempt: Json) => attempt.copy)).toHaveLength(20);
});

test("two bots have their own webhooks, updates and transcripts", async () => {
  const world = await startWorld();
  const [one, two] = [await startWebhook(), await startWebhook()];
  await world.control("bots", { token: "555:BBother-bot-token", username: "other_bot" });
  await world.bot("setWebhook", { url: one.url });
  await world.bot("setWebhook", { url: two.url }, "555:BBother-bot-token");
  await world.say("to the first");
  await world.control("messages", { bot: "@other_bot", chatId: 77, from: PERSON, text: "to the second" });
  await Promise.all([one.count(1), two.count(1)]);
  expect(one.received[0]?.update.message.text).toBe("to the first");
  expect(two.received[0]?.update.message.text).toBe("to the second");
});
