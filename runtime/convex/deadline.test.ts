import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DeadlineError, withinDeadline } from "./deadline.ts";
import { callTelegram } from "./replies/telegramApi.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const never = (): Promise<never> => new Promise<never>(() => undefined);
const call = {
  apiUrl: "https://telegram.test",
  token: "1:secret",
  method: "sendMessage",
  body: { chat_id: "1", text: "hello" },
  timeoutMs: 20_000,
};

/** Convex's runtime, as far as it goes: no AbortSignal.timeout, and a fetch that may not look at its signal. */
function bareRuntime(fetch: () => Promise<Response>): void {
  vi.stubGlobal("AbortSignal", undefined);
  vi.stubGlobal("fetch", fetch);
}

describe("a call to the outside", () => {
  test("that is not answered ends at its limit where fetch does not heed the signal", async () => {
    bareRuntime(never);
    const result = callTelegram(call);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await result).toEqual({ kind: "unknown", description: "no answer from Telegram within 20000 ms" });
  });

  test("whose answer stops in its middle ends at its limit, too", async () => {
    const body = new ReadableStream({ start: (stream) => stream.enqueue(new Uint8Array([123])) });
    bareRuntime(() => Promise.resolve(new Response(body)));
    const result = callTelegram(call);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await result).toMatchObject({ kind: "unknown" });
  });

  test("that is answered needs nothing but fetch and a timer", async () => {
    bareRuntime(() => Promise.resolve(Response.json({ ok: true, result: { message_id: 7 } })));
    expect(await callTelegram(call)).toEqual({ kind: "ok", result: { message_id: 7 } });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is told of its end by the signal, and fails late without a trace", async () => {
    let told = false;
    const late = withinDeadline(50, async (signal) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      told = true;
      throw new Error("aborted");
    });
    const ended = late.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(50);
    expect(await ended).toBeInstanceOf(DeadlineError);
    expect(told).toBe(true);
  });
});
