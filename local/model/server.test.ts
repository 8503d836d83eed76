import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { startProcess } from "../service/testing/process.ts";
import { type ModelOptions, startModel } from "./server.ts";
import type { Json } from "../service/testing/json.ts";

interface Model {
  url: string;
  /** Asks without streaming. */
  ask(messages: unknown, extra?: object): Promise<{ status: number; body: Json }>;
  /** Asks with streaming and returns the parsed events and whether `[DONE]` came. */
  stream(messages: unknown, extra?: object): Promise<{ events: Json[]; done: boolean }>;
  control(path: string, body?: unknown): Promise<Json>;
}

async function startTestModel(options: Partial<ModelOptions> = {}): Promise<Model> {
  const server = await startModel({ state: temporaryFolder(), log: () => undefined, ...options });
  onTestFinished(() => server.close());
  return client(server.url);
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "model-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function client(url: string): Model {
  const post = (messages: unknown, extra: object): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer any-key", "content-type": "application/json" },
      body: JSON.stringify({ model: "local-echo", messages, ...extra }),
    });
  return {
    url,
    async ask(messages, extra = {}) {
      const response = await post(messages, extra);
      return { status: response.status, body: await response.json() };
    },
    async stream(messages, extra = {}) {
      const text = await (await post(messages, { stream: true, ...extra })).text();
      const events = text.split("\n\n").filter((event) => event !== "");
      const done = events.at(-1) === "data: [DONE]";
      return {
        done,
        events: events.slice(0, done ? -1 : undefined).map((event) => JSON.parse(event.slice(6))),
      };
    },
    async control(path, body) {
      const response = await fetch(`${url}/control/${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return response.json();
    },
  };
}

const user = (content: unknown): object => ({ role: "user", content });
const assistant = (content: string): object => ({ role: "assistant", content });
const answerOf = ({ body }: { body: Json }): string => body.choices[0].message.content;
const streamedText = (events: Json[]): string =>
  events.map((event) => event.choices[0]?.delta.content ?? "").join("");

test("the answer proves the history: it counts the turns and quotes the first message", async () => {
  const model = await startTestModel();
  const answer = await model.ask([user("my name is Ada"), assistant("noted"), user("who am I?")]);
  expect(answerOf(answer)).toBe(
    'You said: "who am I?". This is turn 2 of our conversation; your first message was "my name is Ada".',
  );
  expect(answer.body).toMatchObject({
    object: "chat.completion",
    model: "local-echo",
    choices: [{ finish_reason: "stop" }],
  });
  const { prompt_tokens, completion_tokens, total_tokens } = answer.body.usage;
  expect(total_tokens).toBe(prompt_tokens + completion_tokens);
  expect(prompt_tokens).toBeGreaterThan(0);
});

test("a stream carries the same answer, its usage when asked for, and ends with [DONE]", async () => {
  const model = await startTestModel();
  const { events, done } = await model.stream([user("hello 😀 there")], {
    stream_options: { include_usage: true },
  });
  expect(done).toBe(true);
  expect(streamedText(events)).toBe(
    'You said: "hello 😀 there". This is turn 1 of our conversation; your first message was "hello 😀 there".',
  );
  expect(events[0].choices[0].delta).toEqual({ role: "assistant", content: "" });
  expect(events.at(-2).choices[0].finish_reason).toBe("stop");
  expect(events.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  const without = await model.stream([user("hello")]);
  expect(without.events.some((event) => "usage" in event)).toBe(false);
});

describe("directives in a person's text", () => {
  test("say answers exactly that", async () => {
    const model = await startTestModel();
    expect(answerOf(await model.ask([user("say Good morning, Ada.")]))).toBe("Good morning, Ada.");
  });

  test("tools are called one after the other, then their results are told", async () => {
    const model = await startTestModel();
    const text = 'tool bridge_getOrder {"orderId":"7"}\ntool bridge_close {}';
    const first = await model.ask([user(text)]);
    const [call] = first.body.choices[0].message.tool_calls;
    expect(first.body.choices[0].finish_reason).toBe("tool_calls");
    expect(call).toMatchObject({
      type: "function",
      function: { name: "bridge_getOrder", arguments: '{"orderId":"7"}' },
    });
    const soFar = [
      user(text),
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: call.id, content: "paid" },
    ];
    const second = await model.stream(soFar);
    expect(second.events[1].choices[0].delta.tool_calls[0]).toMatchObject({
      index: 0,
      function: { name: "bridge_close", arguments: "{}" },
    });
    expect(second.events.at(-1).choices[0].finish_reason).toBe("tool_calls");
    const last = await model.ask([...soFar, { role: "tool", tool_call_id: "x", content: "closed" }]);
    expect(answerOf(last)).toBe("Tool bridge_getOrder answered: paid\nTool bridge_close answered: closed");
  });

  test("fail answers that status in OpenAI's error shape", async () => {
    const model = await startTestModel();
    expect(await model.ask([user("fail 429")])).toMatchObject({
      status: 429,
      body: { error: { type: "rate_limit_error" } },
    });
  });

  test("slow waits first", async () => {
    const model = await startTestModel();
    const started = performance.now();
    expect(answerOf(await model.ask([user("slow 120\nsay done")]))).toBe("done");
    expect(performance.now() - started).toBeGreaterThanOrEqual(115);
  });

  test("stream-then-die sends a start and cuts the connection", async () => {
    const model = await startTestModel();
    const response = await fetch(`${model.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer k", "content-type": "application/json" },
      body: JSON.stringify({ model: "m", stream: true, messages: [user("stream-then-die")] }),
    });
    let received = "";
    const read = async (): Promise<void> => {
      for await (const part of response.body ?? []) received += Buffer.from(part).toString();
    };
    await expect(read()).rejects.toThrow("terminated");
    expect(received).toContain("You said:".slice(0, 3));
    expect(received).not.toContain("[DONE]");
  });

  test("garbage is no completion", async () => {
    const model = await startTestModel();
    await expect(model.ask([user("garbage")])).rejects.toThrow(SyntaxError);
  });

  test("long answers have the asked length, in a bounded number of pieces", async () => {
    const model = await startTestModel();
    const { events } = await model.stream([user("long 20000")]);
    expect(streamedText(events)).toHaveLength(20_000);
    expect(events.length).toBeLessThan(210);
  });

  test("echo-system tells whether the system prompt contains a text", async () => {
    const model = await startTestModel();
    const system = { role: "system", content: "You serve Ada." };
    expect(answerOf(await model.ask([system, user("echo-system serve Ada")]))).toBe(
      'The system prompt contains "serve Ada".',
    );
    expect(answerOf(await model.ask([system, user("echo-system Bob")]))).toBe(
      'The system prompt does not contain "Bob".',
    );
  });

  test("markdown holds what a sender has to convert", async () => {
    const model = await startTestModel();
    const text = answerOf(await model.ask([user("markdown")]));
    for (const mark of ["# ", "**Bold**", "`code`", "](https://", "```ts", "| a | b |", "<angle> &"])
      expect(text).toContain(mark);
  });
});

describe("scripts set from outside", () => {
  test("apply to texts that contain their match, as many turns as they say", async () => {
    const model = await startTestModel();
    await model.control("scripts", { match: "weather", script: "say sunny", times: 2 });
    const answers = [];
    for (const text of ["the weather?", "other", "weather!", "weather again"])
      answers.push(answerOf(await model.ask([user(text)])));
    expect(answers[0]).toBe("sunny");
    expect(answers[1]).toMatch(/^You said: "other"/);
    expect(answers[2]).toBe("sunny");
    expect(answers[3]).toMatch(/^You said: "weather again"/);
  });

  test("a tool script stays with its turn until the result was answered", async () => {
    const model = await startTestModel();
    await model.control("scripts", { match: "order", script: "tool find {}\nsay found it" });
    const first = await model.ask([user("my order")]);
    expect(first.body.choices[0].message.tool_calls[0].function.name).toBe("find");
    const second = await model.ask([user("my order"), { role: "tool", tool_call_id: "x", content: "42" }]);
    expect(answerOf(second)).toBe("found it");
    expect(answerOf(await model.ask([user("my order")]))).toMatch(/^You said/);
  });

  test("a wrong script is refused by field, and scripts can be cleared", async () => {
    const model = await startTestModel();
    expect((await model.control("scripts", { match: 1 })).error).toContain("match");
    await model.control("scripts", { match: "", script: "say x", times: null });
    await fetch(`${model.url}/control/scripts`, { method: "DELETE" });
    expect(answerOf(await model.ask([user("hi")]))).toMatch(/^You said/);
  });
});

test("the journal tells what the model saw, and finds a text in all of it", async () => {
  const model = await startTestModel();
  const tools = [{ type: "function", function: { name: "read", parameters: {} } }];
  await model.ask(
    [{ role: "system", content: "Be kind." }, user('first "quoted"\nline'), assistant("ok"), user("second")],
    { tools },
  );
  await model.ask([user("fail 503")]);
  const { requests } = await model.control("requests");
  expect(requests).toMatchObject([
    {
      messageCount: 4,
      userTurns: 2,
      lastUserText: "second",
      tools: ["read"],
      systemChars: 8,
      outcome: "text",
      stream: false,
    },
    { messageCount: 1, lastUserText: "fail 503", outcome: "fail 503" },
  ]);
  const found = await model.control(`requests?contains=${encodeURIComponent('"quoted"\nline')}`);
  expect(found.requests.map((request: Json) => request.seq)).toEqual([requests[0].seq]);
  expect((await model.control(`requests/${requests[0].seq}`)).messages).toHaveLength(4);
  expect((await model.control(`requests?after=${requests[0].seq}`)).requests).toHaveLength(1);
  expect(JSON.stringify(requests)).not.toContain("any-key");
});

test("a caller that leaves is noticed", async () => {
  const model = await startTestModel();
  const left = fetch(`${model.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: "Bearer k", "content-type": "application/json" },
    body: JSON.stringify({ model: "m", messages: [user("slow 20000")] }),
    signal: AbortSignal.timeout(100),
  });
  await expect(left).rejects.toThrow("aborted due to timeout");
  let outcome = "open";
  for (let tries = 0; tries < 100 && outcome === "open"; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    outcome = (await model.control("requests")).requests[0].outcome;
  }
  expect(outcome).toBe("aborted");
});

test("latency is configurable, also while it runs", async () => {
  const model = await startTestModel();
  await model.control("latency", { firstTokenMs: 100 });
  const started = performance.now();
  await model.ask([user("hi")]);
  expect(performance.now() - started).toBeGreaterThanOrEqual(95);
});

test("a key is required; with a set key only that one is good", async () => {
  const open = await startTestModel();
  const closed = await startTestModel({ apiKey: "right" });
  const status = async (url: string, authorization: string): Promise<number> =>
    (await fetch(`${url}/v1/models`, { headers: { authorization } })).status;
  expect(await status(open.url, "")).toBe(401);
  expect(await status(open.url, "Bearer whatever")).toBe(200);
  expect(await status(closed.url, "Bearer wrong")).toBe(401);
  expect(await status(closed.url, "Bearer right")).toBe(200);
});

test("a request that is no chat completion is refused with the field's name", async () => {
  const model = await startTestModel();
  const { status, body } = await model.ask("not a list");
  expect(status).toBe(400);
  expect(body.error.message).toContain("messages");
});

test("as a process: one ready line, the journal and scripts survive SIGKILL, SIGTERM ends with 0", async () => {
  const args = ["--state", temporaryFolder()];
  const first = await startProcess("model", args);
  await client(first.url).control("scripts", { match: "", script: "say scripted", times: 2 });
  await client(first.url).ask([user("hi")]);
  await first.stop("SIGKILL");
  const second = await startProcess("model", args);
  expect(answerOf(await client(second.url).ask([user("hi")]))).toBe("scripted");
  expect((await client(second.url).control("requests")).requests).toHaveLength(2);
  expect(await second.stop("SIGTERM")).toBe(0);
  expect(second.stdout).toHaveLength(1);
});
