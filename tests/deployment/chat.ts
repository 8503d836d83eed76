/**
 * An environment whose bot is on the embedded Telegram: people write, updates come by webhook, and a worker without
 * an agent answers what the test scripts. Only the machines are missing; backend and Bot API are the real ones.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Person, Phone, type Sent } from "../../local/environment/person.ts";
import type { RunningService } from "../../local/service/process.ts";
import { startTelegram } from "../../local/telegram/server.ts";
import type { Answer, Claim, WorkerCredential } from "../../runtime/convex/validators.ts";
import { until } from "./backend.ts";
import { Factory, type FactoryOptions } from "./factory.ts";
import { CallRefused } from "./wire.ts";

const BOT = { token: "424242:AA-token-of-the-embedded-bot", username: "factory_bot" };
const IDLE_PAUSE_MS = 30;
const REPEAT_PAUSE_MS = 100;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What the worker says to a message. */
export interface Scripted {
  answer: Answer;
  /** Shown in the chat before the answer is complete. */
  preview?: string;
}

/** One row of the outbox, as far as tests look at it. */
export interface Part {
  conversationId: string;
  seq: number;
  state: string;
  attempts: number;
  lastError?: string;
  unreachable?: boolean;
}

export class Chat {
  readonly factory: Factory;
  readonly phone: Phone;
  #telegram: RunningService;
  readonly #state: string;
  #answering = true;
  #pump: Promise<void> = Promise.resolve();

  private constructor(factory: Factory, telegram: RunningService, state: string) {
    this.factory = factory;
    this.phone = new Phone(telegram.url, BOT.username);
    this.#telegram = telegram;
    this.#state = state;
  }

  /** @param script what the scripted worker says; null leaves the work to a worker of the caller. */
  static async start(
    script: ((claim: Claim) => Scripted) | null,
    config: FactoryOptions["config"] = {},
  ): Promise<Chat> {
    const state = mkdtempSync(join(tmpdir(), "af-chat-"));
    const telegram = await startTelegram({ state, bots: [BOT], log: () => undefined });
    const factory = await Factory.start({
      workers: 1,
      botToken: BOT.token,
      config: { ...config, telegram: { apiUrl: telegram.url } },
    });
    const chat = new Chat(factory, telegram, state);
    await factory.backend.call("action", "factory:configureTelegramWebhook");
    if (script !== null) chat.#pump = chat.#answer(chat.worker, script);
    return chat;
  }

  /** What the one worker shows with every call. */
  get worker(): WorkerCredential {
    const [worker] = this.factory.workers;
    if (worker === undefined) throw new Error("no worker was made");
    return worker;
  }

  /** Claims and completes until the end. Every call is repeated: each is idempotent by its key, or fenced. */
  async #answer(credential: WorkerCredential, script: (claim: Claim) => Scripted): Promise<void> {
    const wire = this.factory.backend.wire(false);
    const insist = async (name: string, args: object): Promise<unknown> => {
      while (this.#answering) {
        try {
          return (await wire.call("mutation", `worker:${name}`, { credential, ...args })).value;
        } catch (error) {
          if (error instanceof CallRefused) throw error;
          await pause(REPEAT_PAUSE_MS);
        }
      }
      return null;
    };
    for (let claims = 1; this.#answering; claims += 1) {
      const claim = (await insist("claim", { claimKey: `test-${claims}` })) as Claim | null;
      if (claim === null) {
        await pause(IDLE_PAUSE_MS);
        continue;
      }
      const { messageId, leaseId } = claim;
      const { answer, preview } = script(claim);
      if (preview !== undefined) {
        await insist("preview", { messageId, leaseId, text: preview });
        await until("the preview has appeared", async () => {
          const rows = (await this.factory.backend.table("outbox")) as Array<{
            messageId: string;
            state: string;
          }>;
          return rows.some((row) => row.messageId === messageId && row.state === "sent");
        });
      }
      await insist("complete", { messageId, leaseId, answer, history: [] });
    }
    wire.close();
  }

  async write(person: Person, text: string): Promise<Sent> {
    return await this.phone.write(person, text);
  }

  conversationId(person: Person): string {
    return `telegram:${BOT.token.split(":")[0]}:${person.id}`;
  }

  /** The bot's messages as the person sees them now, oldest first: edited ones as they were edited last. */
  async received(person: Person): Promise<string[]> {
    const { entries } = await this.phone.transcript(person);
    const messages = new Map<number | null, string>();
    for (const { kind, direction, messageId, body } of entries) {
      if (direction !== "out") continue;
      if (kind === "message" || kind === "edit") messages.set(messageId, body.text ?? "");
      if (kind === "delete") messages.delete(messageId);
    }
    return [...messages.values()];
  }

  /** The outbox's rows of one conversation, in the order in which they are sent. */
  async parts(person: Person): Promise<Part[]> {
    const rows = (await this.factory.backend.table("outbox")) as Part[];
    return rows
      .filter(({ conversationId }) => conversationId === this.conversationId(person))
      .toSorted((a, b) => a.seq - b.seq);
  }

  /** Waits until nothing of this person waits or is being sent, and `count` parts exist. */
  async settled(person: Person, count: number, withinMs: number): Promise<Part[]> {
    let parts: Part[] = [];
    await until(
      `${count} parts of ${person.first_name} have ended`,
      async () => {
        parts = await this.parts(person);
        return parts.length === count && parts.every(({ state }) => !["pending", "sending"].includes(state));
      },
      withinMs,
    );
    return parts;
  }

  async control(path: string, body?: object): Promise<unknown> {
    const response = await fetch(`${this.#telegram.url}/control/${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify({ bot: BOT.username, ...body }) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`control ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** The bot's next send to this person meets the fault. @returns a wait until it has. */
  async fault(person: Person, rule: object, method = "sendMessage"): Promise<() => Promise<void>> {
    const { id } = (await this.control("faults", { method, chatId: person.id, ...rule })) as { id: number };
    return () =>
      until(`the fault of ${person.first_name} is met`, async () => {
        const { rules } = (await this.control("faults")) as { rules: Array<{ id: number; hits: number }> };
        return rules.some((known) => known.id === id && known.hits > 0);
      });
  }

  /** Telegram is gone: connections are refused until `telegramBack`. */
  async telegramGone(): Promise<void> {
    await this.#telegram.close();
  }

  async telegramBack(): Promise<void> {
    const port = Number(new URL(this.#telegram.url).port);
    this.#telegram = await startTelegram({ state: this.#state, port, log: () => undefined });
  }

  async close(): Promise<void> {
    this.#answering = false;
    await this.#pump;
    await this.factory.close();
    await this.#telegram.close();
    rmSync(this.#state, { recursive: true, force: true, maxRetries: 3 });
  }
}
