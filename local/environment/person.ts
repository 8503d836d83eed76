/** A person with a phone: writes to the bot on the embedded Telegram and waits for its answers. */
import { request } from "undici";
import * as z from "zod";

export interface Person {
  id: number;
  first_name: string;
}

/** Where something is written: a private chat has its person's id, a group one of its own. */
export interface Place {
  id: number;
  /** A topic of a forum. */
  threadId?: number;
}

const sentSchema = z.object({ update_id: z.number(), message_id: z.number() });
const entrySchema = z.object({
  /** Order of what happened in the chat. */
  seq: z.number(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  kind: z.string(),
  direction: z.enum(["in", "out"]),
  messageId: z.number().nullable(),
  body: z.looseObject({ text: z.string().optional(), caption: z.string().optional() }).catch({}),
});
export type ChatEntry = z.infer<typeof entrySchema>;
const waitSchema = z.object({ entry: entrySchema.nullable() });
const transcriptSchema = z.object({ entries: z.array(entrySchema), newest: z.number() });
const attemptSchema = z.object({
  updateId: z.number(),
  at: z.number(),
  ms: z.number(),
  status: z.number().nullable(),
});
export type WebhookAttempt = z.infer<typeof attemptSchema>;

/** What was sent, and where the chat stood before it. */
export interface Sent {
  updateId: number;
  messageId: number;
  /** Pass to `answer` to wait for what comes after this message. */
  after: number;
  at: number;
}

/** Slack of the HTTP call around a long poll, ms. */
const POLL_SLACK_MS = 10_000;
const POLL_SLICE_MS = 20_000;

export class Phone {
  readonly #url: string;
  readonly #bot: string;

  constructor(telegramUrl: string, botUsername: string) {
    this.#url = telegramUrl;
    this.#bot = botUsername;
  }

  async #call(method: "GET" | "POST", path: string, body?: unknown, timeoutMs = 30_000): Promise<unknown> {
    const response = await request(`${this.#url}${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
      headersTimeout: timeoutMs,
    });
    const text = await response.body.text();
    if (response.statusCode >= 300)
      throw new Error(`Telegram control ${path}: ${response.statusCode} ${text}`);
    return JSON.parse(text);
  }

  /** Sends a message, a private one unless another place is named. */
  async write(person: Person, text: string, place: Place = { id: person.id }): Promise<Sent> {
    const { newest } = await this.transcript(place);
    const at = Date.now();
    const sent = sentSchema.parse(
      await this.#call("POST", "/control/messages", {
        bot: this.#bot,
        chatId: place.id,
        from: person,
        text,
        ...(place.threadId === undefined ? {} : { message_thread_id: place.threadId }),
      }),
    );
    return { updateId: sent.update_id, messageId: sent.message_id, after: newest, at };
  }

  /** The bot's next message after `after`, or null when none came in time. */
  async answer({ id }: Place, after: number, timeoutMs: number): Promise<ChatEntry | null> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      const slice = Math.min(POLL_SLICE_MS, Math.max(1, deadline - Date.now()));
      const path = `/control/wait?bot=${this.#bot}&chatId=${id}&after=${after}&timeoutMs=${slice}`;
      const { entry } = waitSchema.parse(await this.#call("GET", path, undefined, slice + POLL_SLACK_MS));
      if (entry) return entry;
    }
    return null;
  }

  async transcript({ id }: Place): Promise<{ entries: ChatEntry[]; newest: number }> {
    return transcriptSchema.parse(
      await this.#call("GET", `/control/transcript?bot=${this.#bot}&chatId=${id}`),
    );
  }

  /** Attempts to deliver updates to the webhook, with status and time. */
  async webhookAttempts(): Promise<WebhookAttempt[]> {
    const log = await this.#call("GET", `/control/webhook?bot=${this.#bot}`);
    return z.object({ attempts: z.array(attemptSchema) }).parse(log).attempts;
  }

  async webhookUrl(): Promise<string> {
    const log = await this.#call("GET", `/control/webhook?bot=${this.#bot}`);
    return z.object({ info: z.looseObject({ url: z.string() }) }).parse(log).info.url;
  }
}
