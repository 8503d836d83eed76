/**
 * The APIs of three kinds of model provider on one loopback server, each below the host name that it stands for:
 * `/<host>/<path>` is what a gateway asks of `https://<host>/<path>`. Each answers at once, in its own stream format.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface ProviderRequest {
  /** Of the real provider: host and path. */
  url: string;
  /** The credential, wherever that provider wants it. */
  key: string;
  body: string;
}

export interface Providers {
  /** Where this server stands for `url`. */
  standInFor(url: string): string;
  requests: ProviderRequest[];
  /** Host → status that it answers from now on. */
  failing: Map<string, number>;
  close(): Promise<void>;
}

/** @param say the text that a host's model answers with. */
export async function startProviders(say: (host: string) => string): Promise<Providers> {
  const requests: ProviderRequest[] = [];
  const failing = new Map<string, number>();
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += String(chunk)));
    request.on("end", () => {
      const [, host = "", ...path] = (request.url?.split("?")[0] ?? "").split("/");
      requests.push({ url: `${host}/${path.join("/")}`, key: keyOf(request), body });
      const status = failing.get(host);
      if (status !== undefined) {
        // Retried by whoever asks, without a pause that a test would sit out.
        response.writeHead(status, { "content-type": "application/json", "retry-after-ms": "1" });
        response.end(JSON.stringify({ error: { type: "api_error", message: "scripted failure" } }));
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(streamOf(path.join("/"), say(host)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    standInFor: (url) => `${root}/${url.replace(/^https:\/\//, "")}`,
    requests,
    failing,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function keyOf({ headers, url = "" }: IncomingMessage): string {
  const named = headers["x-api-key"] ?? headers["x-goog-api-key"];
  if (typeof named === "string") return named;
  return (
    headers.authorization?.replace(/^Bearer /, "") ?? new URL(url, "http://x").searchParams.get("key") ?? ""
  );
}

const event = (data: object, name?: string): string =>
  `${name === undefined ? "" : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;

function streamOf(path: string, text: string): string {
  if (path.endsWith("/messages")) return anthropicStream(text);
  if (path.endsWith(":streamGenerateContent")) return googleStream(text);
  return openaiStream(text);
}

function openaiStream(text: string): string {
  const chunk = (choices: object[], more = {}): string =>
    event({ id: "c1", object: "chat.completion.chunk", model: "m", choices, ...more });
  return (
    chunk([{ index: 0, delta: { role: "assistant", content: text }, finish_reason: null }]) +
    chunk([{ index: 0, delta: {}, finish_reason: "stop" }]) +
    chunk([], { usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } }) +
    "data: [DONE]\n\n"
  );
}

function anthropicStream(text: string): string {
  const message = {
    id: "m1",
    type: "message",
    role: "assistant",
    model: "m",
    content: [],
    stop_reason: null,
  };
  const parts = [
    { type: "message_start", message: { ...message, usage: { input_tokens: 10, output_tokens: 1 } } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } },
    { type: "content_block_stop", index: 0 },
    {
      type: "message_delta",
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: { output_tokens: 5 },
    },
    { type: "message_stop" },
  ];
  return parts.map((part) => event(part, part.type)).join("");
}

function googleStream(text: string): string {
  const candidates = [{ index: 0, content: { role: "model", parts: [{ text }] }, finishReason: "STOP" }];
  const usageMetadata = { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 };
  return event({ candidates, usageMetadata });
}
