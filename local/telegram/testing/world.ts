/** What the tests of this folder share: a server in a folder of its own, a bot, a person and a webhook. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { startTelegram, type TelegramOptions } from "../server.ts";
import type { Json } from "../../service/testing/json.ts";

export const TOKEN = "4242:AAbcdefghijklmnopqrstuvwxyz012345678";
export const PERSON = { id: 77, first_name: "Ada" };

/** A Bot API answer with the HTTP status it came with. */
export interface ApiAnswer {
  status: number;
  ok: boolean;
  // Each test reads the fields of its own method.
  result: Json;
  description?: string;
  parameters?: { retry_after: number };
}

export interface World {
  url: string;
  state: string;
  /** Calls a Bot API method with JSON parameters. */
  bot(method: string, params?: Record<string, unknown>, token?: string): Promise<ApiAnswer>;
  /** Calls the control API; a body makes it a POST. */
  control(path: string, body?: unknown, method?: string): Promise<Json>;
  /** The person writes to the bot in their private chat. */
  say(text: string): Promise<{ update_id: number; message_id: number }>;
  close(): Promise<void>;
}

/** Starts a server with one bot, `@test_bot`; it stops with the test. */
export async function startWorld(options: Partial<TelegramOptions> = {}): Promise<World> {
  const state = options.state ?? temporaryFolder();
  const server = await startTelegram({
    state,
    bots: [{ token: TOKEN, username: "test_bot" }],
    log: () => undefined,
    ...options,
  });
  let open = true;
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await server.close();
  };
  onTestFinished(close);
  const control: World["control"] = async (path, body, method) => {
    const response = await fetch(`${server.url}/control/${path}`, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.json();
  };
  return {
    url: server.url,
    state,
    async bot(method, params = {}, token = TOKEN) {
      const response = await fetch(`${server.url}/bot${token}/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(params),
      });
      return { status: response.status, ...((await response.json()) as Omit<ApiAnswer, "status">) };
    },
    control,
    say: (text) => control("messages", { bot: "test_bot", chatId: PERSON.id, from: PERSON, text }),
    close,
  };
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "telegram-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** How a webhook answers one delivery. */
export interface WebhookAnswer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
  delayMs?: number;
}

export interface Webhook {
  url: string;
  /** All deliveries so far, in the order in which they arrived. */
  received: { headers: IncomingHttpHeaders; update: Json; at: number }[];
  /** Most deliveries that were open at the same time. */
  mostAtOnce(): number;
  /** Resolves when so many deliveries arrived. */
  count(n: number): Promise<void>;
  close(): Promise<void>;
}

/** A webhook on loopback; `answer` decides per delivery (counted from 0). It stops with the test. */
export async function startWebhook(
  answer: (index: number, update: Json) => WebhookAnswer = () => ({ status: 200 }),
): Promise<Webhook> {
  const received: Webhook["received"] = [];
  let waiting: { n: number; resolve: () => void }[] = [];
  let open = 0;
  let most = 0;
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (part: Buffer) => (text += part.toString()));
    request.on("end", () => {
      const update: unknown = JSON.parse(text);
      const decided = answer(received.length, update);
      received.push({ headers: request.headers, update, at: performance.now() });
      most = Math.max(most, ++open);
      waiting = waiting.filter(({ n, resolve }) => received.length < n || resolve());
      setTimeout(() => {
        open--;
        response.writeHead(decided.status, decided.headers).end(decided.body ?? "");
      }, decided.delayMs ?? 0);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  onTestFinished(close);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    close,
    mostAtOnce: () => most,
    count: (n) =>
      received.length >= n ? Promise.resolve() : new Promise<void>((resolve) => waiting.push({ n, resolve })),
  };
}

/** Asks until the answer satisfies; for states that follow an event in the background. */
export async function eventually<Value>(
  read: () => Promise<Value>,
  good: (value: Value) => boolean,
): Promise<Value> {
  for (let tries = 0; tries < 200; tries++) {
    const value = await read();
    if (good(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return read();
}
