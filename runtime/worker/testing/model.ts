/** A model for tests: speaks OpenAI's completions API, answers from what it was sent, keeps every request. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ChatMessage {
  role: string;
  content?: unknown;
  tool_calls?: unknown;
  tool_call_id?: string;
}
export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  tools?: Array<{ function: { name: string; parameters?: unknown } }>;
}
export type ModelReply =
  | { kind: "text"; text: string }
  /** Writes word by word, with a pause after each, ms. */
  | { kind: "slowly"; words: string[]; pauseMs: number }
  | { kind: "tools"; calls: Array<{ name: string; args: unknown }> }
  | { kind: "status"; status: number }
  /** Answers 200 with exactly this as its stream. */
  | { kind: "raw"; body: string }
  /** Streams something, then breaks the connection. */
  | { kind: "break" }
  /** Answers only when the caller gives up. */
  | { kind: "hang" };

export interface TestModel {
  url: string;
  requests: ChatRequest[];
  /** Requests whose caller went away before the answer. */
  abandoned: number;
  close(): Promise<void>;
}

/** How a test decides what its model does. */
export type Reply = (request: ChatRequest) => ModelReply | Promise<ModelReply>;

export async function startTestModel(reply: Reply): Promise<TestModel> {
  const requests: ChatRequest[] = [];
  const model: TestModel = { url: "", requests, abandoned: 0, close: () => Promise.resolve() };
  const server = createServer((request, response) => {
    void handle(request, response, reply, model);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  model.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  model.close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return model;
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  decide: Reply,
  model: TestModel,
): Promise<void> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  const chat = JSON.parse(body) as ChatRequest;
  model.requests.push(chat);
  const reply = await decide(chat);
  response.on("close", () => {
    if (!response.writableFinished) model.abandoned += 1;
  });
  if (reply.kind === "status") {
    response.writeHead(reply.status, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: "scripted failure", type: "server_error" } }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const chunk = (delta: unknown, finish: string | null): void => {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    response.write(
      `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", model: chat.model, choices })}\n\n`,
    );
  };
  switch (reply.kind) {
    case "raw":
      response.end(reply.body);
      return;
    case "hang":
      chunk({ role: "assistant", content: "wait" }, null);
      return;
    case "break":
      chunk({ role: "assistant", content: "half an ans" }, null);
      setTimeout(() => response.destroy(), 50);
      return;
    case "tools":
      chunk(
        {
          role: "assistant",
          tool_calls: reply.calls.map(({ name, args }, index) => ({
            index,
            id: `call_${model.requests.length}_${index}`,
            type: "function",
            function: { name, arguments: JSON.stringify(args) },
          })),
        },
        null,
      );
      chunk({}, "tool_calls");
      break;
    case "slowly":
      for (const word of reply.words) {
        chunk({ role: "assistant", content: word }, null);
        await new Promise((resolve) => setTimeout(resolve, reply.pauseMs));
      }
      chunk({}, "stop");
      break;
    case "text":
      chunk({ role: "assistant", content: reply.text }, null);
      chunk({}, "stop");
      break;
  }
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  response.write(
    `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", model: chat.model, choices: [], usage })}\n\n`,
  );
  response.end("data: [DONE]\n\n");
}

/** Text of a message's content, whether a string or parts. */
export function textOf(message: ChatMessage | undefined): string {
  if (typeof message?.content === "string") return message.content;
  if (!Array.isArray(message?.content)) return "";
  return (message.content as Array<{ text?: string }>).map((part) => part.text ?? "").join("");
}

/**
 * A model that does what it is told: each line `CALL <tool> <arguments as JSON>` of the person's message becomes
 * that tool call, all in one answer, and what the tools answer becomes the text, one per line. Other messages are
 * answered with a fixed word.
 */
export function obedientModel(request: ChatRequest): ModelReply {
  const { messages } = request;
  const answered = messages.slice(messages.findLastIndex((message) => message.role !== "tool") + 1);
  if (answered.length > 0) return { kind: "text", text: answered.map(textOf).join("\n") };
  const calls = [...textOf(messages.at(-1)).matchAll(/CALL (\S+) (\{.*\})/g)].map(
    ([, name = "", args = ""]) => ({
      name,
      args: JSON.parse(args) as unknown,
    }),
  );
  return calls.length === 0 ? { kind: "text", text: "understood" } : { kind: "tools", calls };
}
