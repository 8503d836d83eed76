import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { HydrationBundle } from "../../../convex/validators.ts";
import { startTyping } from "./typing.ts";

/** Telegram shows the indicator for this long. */
const SHOWN_MS = 5_000;

const bundle = {
  destination: { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: "-100", threadId: 7 },
  telegramBotToken: "900:token",
  telegramApiUrl: "https://telegram.example/",
  typingIndicator: true,
} as unknown as HydrationBundle;

let calls: Array<{ url: string; body: unknown }> = [];
let answer = (): Promise<Response> => Promise.resolve(new Response("{}"));

beforeEach(() => {
  vi.useFakeTimers();
  calls = [];
  answer = () => Promise.resolve(new Response("{}"));
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    calls.push({ url, body: JSON.parse(init.body as string) as unknown });
    return answer();
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("the indicator appears at once in the chat and topic of the message", () => {
  startTyping(bundle, new AbortController().signal)();
  expect(calls).toEqual([
    {
      url: "https://telegram.example/bot900:token/sendChatAction",
      body: { chat_id: "-100", action: "typing", message_thread_id: 7 },
    },
  ]);
});

test("it is renewed before it fades for as long as the agent works, and no longer", async () => {
  const stop = startTyping(bundle, new AbortController().signal);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls.length).toBeGreaterThanOrEqual(60_000 / SHOWN_MS);
  expect(calls.length).toBeLessThanOrEqual(16);
  stop();
  const shown = calls.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toHaveLength(shown);
});

test("it ends with the lease", async () => {
  const lost = new AbortController();
  startTyping(bundle, lost.signal);
  lost.abort();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toHaveLength(1);
});

test.each<[string, () => Promise<Response>]>([
  ["that refuses it", () => Promise.resolve(new Response("{}", { status: 403 }))],
  ["that cannot be reached", () => Promise.reject(new TypeError("fetch failed"))],
])("a Telegram %s three times in a row is left alone", async (_how, failing) => {
  answer = failing;
  startTyping(bundle, new AbortController().signal);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toHaveLength(3);
});

test.each([
  ["the policy turns it off", { typingIndicator: false }],
  ["nobody waits in a chat", { destination: null }],
  ["there is no token", { telegramBotToken: null }],
])("nothing is shown where %s", (_why, change) => {
  startTyping({ ...bundle, ...change }, new AbortController().signal)();
  expect(calls).toEqual([]);
});
