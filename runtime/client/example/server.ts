/**
 * A consumer app with a chat of its own, in plain Node: `POST /chat {userId, text}` answers with the agent's words,
 * and `POST /webhooks` receives the factory's signed events, also of messages that nobody waits for any more.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { AgentFactoryError, createClient, verifyWebhook, type WebhookEvent } from "@agent-factory/client";

const BODY_BYTES_MAX = 512 * 1_024;
/** How long a person looks at "thinking…", ms. */
const PATIENCE_MS = 60_000;
/** Remembered event ids; a real app keeps them in its database. */
const SEEN_MAX = 10_000;

export interface ExampleOptions {
  siteUrl: string;
  serviceKey: string;
  agentKey: string;
  /** Default 0: any free one. */
  port?: number;
  /** Called once per event. */
  onEvent: (event: WebhookEvent) => void;
}

export interface ExampleServer {
  url: string;
  close(): Promise<void>;
}

type Reply = [status: number, body: Record<string, unknown>];

export async function startExample({
  agentKey,
  onEvent,
  port = 0,
  ...access
}: ExampleOptions): Promise<ExampleServer> {
  const factory = createClient(access);
  const seen = new Set<string>();
  let signingSecret: string | null = null;

  const chat = async (request: IncomingMessage): Promise<Reply> => {
    const input = parseChat(await readBody(request));
    if (input === null) return [400, { error: "expected {userId, text}" }];
    const { userId, text } = input;
    const { messageId } = await factory.enqueue({ conversationId: `chat:${userId}`, agentKey, userId, text });
    const { status, answer } = await factory.waitForMessage(messageId, { timeoutMs: PATIENCE_MS });
    return [200, { messageId, status, answer }];
  };

  const receive = async (request: IncomingMessage): Promise<Reply> => {
    const body = await readBody(request);
    if (signingSecret === null) return [503, { error: "not ready" }];
    const event = await verifyWebhook(signingSecret, request.headers, body);
    // Events are delivered at least once: the id is what makes it exactly once here.
    if (!seen.has(event.id)) {
      seen.add(event.id);
      if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value ?? "");
      onEvent(event);
    }
    return [200, { ok: true }];
  };

  const route = async (request: IncomingMessage): Promise<Reply> => {
    try {
      if (request.method === "POST" && request.url === "/chat") return await chat(request);
      if (request.method === "POST" && request.url === "/webhooks") return await receive(request);
      return [404, { error: "POST /chat or /webhooks" }];
    } catch (error) {
      if (error instanceof RangeError) return [413, { error: error.message }];
      if (!(error instanceof AgentFactoryError)) throw error;
      if (error.code === "invalid_signature") return [400, { error: error.message }];
      return [error.retryable ? 503 : 502, { error: error.code }];
    }
  };

  const server = createServer((request, response) => {
    const send = ([status, body]: Reply): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    route(request).then(send, (error: unknown) => {
      console.error(error);
      send([500, { error: "internal" }]);
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // A real app registers its public https URL once and keeps the secret; here both last as long as the server.
  const endpoint = await factory.createWebhookEndpoint(`${url}/webhooks`);
  signingSecret = endpoint.signingSecret;
  return {
    url,
    async close() {
      await factory.deleteWebhookEndpoint(endpoint.endpointId);
      server.close();
      server.closeAllConnections();
    },
  };
}

/** @throws RangeError for a body that is too large. */
async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) throw new RangeError(`The body may have ${BODY_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parseChat(body: string): { userId: string; text: string } | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null; // Not JSON: told like any other malformed body.
  }
  const { userId, text } = (value ?? {}) as Record<string, unknown>;
  return typeof userId === "string" && typeof text === "string" ? { userId, text } : null;
}
