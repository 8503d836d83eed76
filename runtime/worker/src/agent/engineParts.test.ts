import { describe, expect, test } from "vitest";
import type { Profile } from "../../../convex/validators.ts";
import { nextCall } from "../../plugin/bridgeTools.ts";
import type { SessionState } from "../../plugin/sessions.ts";
import { messagesOf, pageOf } from "../../plugin/transcript.ts";
import { escapeCommand } from "./runTurn.ts";
import { planTools } from "./toolPolicy.ts";
import { seedFromHistory } from "./transcript.ts";
import { createTurnGate } from "./turnGate.ts";
import { parseTurnResult } from "./turnResult.ts";

describe("result of a run", () => {
  const payloads = [
    { text: "Hello" },
    { text: "thinking", isReasoning: true },
    { text: "" },
    { text: "there" },
  ];

  test("joins the texts and leaves reasoning out", () => {
    const result = parseTurnResult(
      {
        status: "ok",
        runId: "run",
        result: { payloads, meta: { agentMeta: { usage: { input: 3, output: 2 } } } },
      },
      "run",
    );
    expect(result).toEqual({
      kind: "answered",
      text: "Hello\n\nthere",
      usage: { inputTokens: 3, outputTokens: 2 },
    });
  });

  test.each([
    [{ status: "timeout", result: { payloads: [{ text: "Sorry, I was too slow" }] } }, "timedOut"],
    [{ status: "timeout", summary: "aborted" }, "aborted"],
    [{ status: "error", error: { message: "boom" } }, "failed"],
    [{ status: "ok", result: { payloads: [{ text: "The provider failed", isError: true }] } }, "failed"],
    [{ status: "ok", result: { payloads: [], meta: { error: { message: "overloaded" } } } }, "failed"],
  ])("%j is %s: its text is not an answer", (payload, kind) => {
    expect(parseTurnResult(payload, "run")?.kind).toBe(kind);
  });

  test("an agent that says nothing has answered", () => {
    expect(parseTurnResult({ status: "ok", result: { payloads: [] } }, "run")).toMatchObject({
      kind: "answered",
      text: "",
    });
  });

  test.each([
    "nonsense",
    null,
    { result: { payloads } },
    { status: "ok" },
    { status: "ok", result: { payloads: "Hello" } },
    { status: "ok", result: { payloads }, runId: "another" },
  ])("%j is no result", (payload) => {
    expect(parseTurnResult(payload, "run")).toBeNull();
  });
});

test.each([
  ["/reset", "User: /reset"],
  ["  /new x", "User: /new x"],
  ["a /reset b", "a /reset b"],
  ["hello", "hello"],
])("the words %j are sent as %j", (text, sent) => {
  expect(escapeCommand(text)).toBe(sent);
});

describe("turn gate", () => {
  const later = () => Promise.withResolvers<void>();

  test("turns run side by side; a change waits for them and is not overtaken", async () => {
    const gate = createTurnGate();
    const events: string[] = [];
    const first = later();
    const second = later();
    const a = gate.shared(() => first.promise.then(() => void events.push("a")));
    const b = gate.shared(() => second.promise.then(() => void events.push("b")));
    await Promise.resolve();
    const change = gate.exclusive(() => Promise.resolve(void events.push("change")));
    const c = gate.shared(() => Promise.resolve(void events.push("c")));
    second.resolve();
    await b;
    expect(events).toEqual(["b"]);
    first.resolve();
    await Promise.all([a, change, c]);
    expect(events).toEqual(["b", "a", "change", "c"]);
  });

  test("a change that fails, and a turn that fails, open the gate all the same", async () => {
    const gate = createTurnGate();
    await expect(gate.exclusive(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(gate.shared(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await gate.exclusive(() => Promise.resolve(1))).toBe(1);
    expect(await gate.shared(() => Promise.resolve(2))).toBe(2);
  });
});

describe("tool policy", () => {
  const profile = (allow: string[]): Profile => ({
    agentKey: "a",
    version: "1",
    revision: 1,
    soulMd: "",
    skills: [],
    toolPolicy: { allow },
    bridgeFunctions: [{ key: "getOrder", description: "", parametersJson: "{}" }],
  });

  test("the safe set and the profile's bridge functions by default", () => {
    expect(planTools(profile([]), "none")).toEqual({
      tools: ["read", "write", "edit", "bridge_getOrder"],
      extended: false,
      refused: [],
    });
  });

  test("commands only where a worker serves one conversation at a time", () => {
    for (const dedication of ["none", "agent"] as const) {
      const plan = planTools(profile(["exec"]), dedication);
      expect(plan.tools).not.toContain("exec");
      expect(plan.refused[0]?.tool).toBe("exec");
    }
    expect(planTools(profile(["exec"]), "conversation").tools).toContain("exec");
  });

  test.each(["sessions_list", "gateway", "memory_search", "*", "group:all"])(
    "%s is never granted",
    (tool) => {
      expect(planTools(profile([tool]), "conversation")).toMatchObject({
        extended: false,
        refused: [{ tool }],
      });
    },
  );
});

describe("transcript", () => {
  test("only messages leave, in order", () => {
    const events = [
      { type: "session" },
      { type: "message", message: { role: "user" } },
      { type: "model_change" },
      { type: "message", message: { role: "assistant" } },
      null,
    ];
    expect(messagesOf(events)).toEqual([{ role: "user" }, { role: "assistant" }]);
  });

  test("a compacted conversation is its summary and what came after it", () => {
    const message = (id: string, role: string) => ({ type: "message", id, message: { role, content: id } });
    const events = [
      message("a", "user"),
      message("b", "assistant"),
      message("c", "user"),
      {
        type: "compaction",
        id: "x",
        summary: "They greeted.",
        firstKeptEntryId: "c",
        timestamp: "2026-01-01T00:00:00Z",
      },
      message("d", "assistant"),
    ];
    expect(messagesOf(events)).toEqual([
      {
        role: "user",
        content: "[Summary of the conversation so far]\nThey greeted.",
        timestamp: Date.UTC(2026, 0, 1),
      },
      { role: "user", content: "c" },
      { role: "assistant", content: "d" },
    ]);
  });

  test("leaves the gateway in pages that end before they are too large", () => {
    const messages = ["a", "bb", "c".repeat(50), "d"];
    expect(pageOf(messages, 0, 10)).toEqual({ messages: ["a", "bb"], more: true });
    expect(pageOf(messages, 2, 10)).toEqual({ messages: ["c".repeat(50)], more: true });
    expect(pageOf(messages, 3, 10)).toEqual({ messages: ["d"], more: false });
    expect(pageOf(messages, 4, 10)).toEqual({ messages: [], more: false });
  });

  test("a conversation without a transcript begins with its history", () => {
    const seeded = seedFromHistory([
      { role: "user", content: "hi", at: 1 },
      { role: "assistant", content: "hello", at: 2 },
      { role: "system", content: "the order shipped", at: 3 },
      { role: "tool", content: "raw", at: 4 },
    ]) as Array<{ role: string }>;
    expect(seeded.map((message) => message.role)).toEqual(["user", "assistant", "user"]);
  });
});

test("an idempotency key depends on message, function, arguments in any order, and how often", () => {
  const state = (messageId: string) => ({ messageId, occurrences: new Map() }) as unknown as SessionState;
  const first = state("m1");
  const key = nextCall(first, "f", { a: 1, b: [1, { c: 2 }] }).idempotencyKey;
  expect(nextCall(state("m1"), "f", { b: [1, { c: 2 }], a: 1 }).idempotencyKey).toBe(key);
  expect(nextCall(first, "f", { a: 1, b: [1, { c: 2 }] }).idempotencyKey).not.toBe(key);
  expect(nextCall(state("m2"), "f", { a: 1, b: [1, { c: 2 }] }).idempotencyKey).not.toBe(key);
  expect(nextCall(state("m1"), "g", { a: 1, b: [1, { c: 2 }] }).idempotencyKey).not.toBe(key);
});
