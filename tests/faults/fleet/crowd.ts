/** People who write to the bot while things break, and what must be true of their conversations afterwards. */
import assert from "node:assert/strict";
import { Phone } from "../../../local/environment/person.ts";
import type { Cloud } from "./cloud.ts";
import { answerTo } from "./image/engine.ts";

export interface CrowdOptions {
  readonly people?: number;
  /** Longest turn, ms; the shortest is a tenth of it. */
  readonly turnMsMax?: number;
  /** Distinguishes the people of two crowds of one environment. */
  readonly firstId?: number;
}

/** What became of a crowd's messages. */
export interface Account {
  readonly messages: number;
  /** Answers of which nobody knows whether they arrived; the operator sees each. */
  readonly unknown: number;
  /** Attempts spent beyond the first of each message, each with its message's last error. */
  readonly retried: readonly string[];
}

/** Messages that a person sends before waiting for an answer: order within a conversation is at stake. */
const BURST_MAX = 3;
/** An answer that may never come (its delivery is unknown) must not end the load. */
const PATIENCE_MS = 6_000;

const between = (min: number, max: number): number => Math.floor(min + Math.random() * (max - min));

export class Crowd {
  readonly #cloud: Cloud;
  readonly #phone: Phone;
  readonly #written = new Map<number, string[]>();
  readonly #turnMsMax: number;
  #stopped = false;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(cloud: Cloud, { people = 8, turnMsMax = 1_500, firstId = 7_000 }: CrowdOptions = {}) {
    this.#cloud = cloud;
    this.#phone = new Phone(cloud.telegramUrl, cloud.botUsername);
    this.#turnMsMax = turnMsMax;
    for (let index = 0; index < people; index++) this.#written.set(firstId + index, []);
  }

  /** Everybody writes in bursts, reads, and writes again, until `stop`. */
  begin(): void {
    this.#writing = Promise.all([...this.#written.keys()].map((id) => this.#talk(id)));
  }

  /** Ends the load. Messages already sent may still be on their way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }

  async #talk(id: number): Promise<void> {
    while (!this.#stopped) {
      let last = 0;
      for (let burst = between(1, BURST_MAX + 1); burst > 0; burst--) last = await this.write(id);
      await this.#phone.answer({ id }, last, PATIENCE_MS);
    }
  }

  /** @returns where the chat stood before. */
  async write(id: number): Promise<number> {
    const texts = this.#written.get(id) ?? [];
    const text = `message ${texts.length + 1} takes ${between(this.#turnMsMax / 10, this.#turnMsMax)} ms`;
    const sent = await this.#phone.write({ id, first_name: `Person ${id}` }, text);
    this.#written.set(id, [...texts, text]);
    return sent.after;
  }

  get messages(): number {
    return [...this.#written.values()].flat().length;
  }

  /** Waits until every message has ended and every answer has been sent, or is listed as unknown. */
  async settled(withinMs = 90_000): Promise<number> {
    const cloud = this.#cloud;
    const settledMs = await cloud.until(
      "every message has ended",
      async () => {
        const stats = await cloud.run("query", "queueStats");
        if (stats.queuedReady + stats.queuedDelayed + stats.processing > 0) return false;
        return (await cloud.backend.table("messageQueue")).length >= this.messages;
      },
      withinMs,
    );
    // An announced send without an outcome is unknown once nobody can be at it any more.
    await cloud.until("every answer is sent or listed as unknown", async () => {
      const parts = await cloud.backend.table("outbox");
      return parts.every(({ state }) => state !== "pending" && state !== "sending");
    });
    return settledMs;
  }

  /**
   * The oracle: every message answered once and in order, by workers that remembered everything before it.
   * Nothing is missing on a person's phone but answers that the operator finds listed as unknown.
   */
  async account(): Promise<Account> {
    const rows = await this.#cloud.backend.table("messageQueue");
    const listed = await this.#cloud.run("query", "listDeliveries", { state: "unknown", limit: 200 });
    const unknown = new Set((listed as Array<{ messageId: string }>).map(({ messageId }) => messageId));
    const account = { messages: 0, unknown: 0, retried: [] as string[] };
    for (const [id, texts] of this.#written) {
      const own = rows
        .filter((row) => row.conversationId === `telegram:4242:${id}`)
        .toSorted((a, b) => a.seq - b.seq);
      assert.deepEqual(
        own.map((row) => row.payload.messageText as string),
        texts,
      );
      assert.deepEqual(
        own.map((row) => row.status as string),
        own.map(() => "done"),
      );
      const ends = own.map((row) => row.finishedAt as number);
      assert.deepEqual(
        ends,
        ends.toSorted((a, b) => a - b),
      );
      const heard = await this.#heard(id);
      const answers = own.map((row, index) => ({
        text: answerTo(texts[index] ?? "", index + 1),
        mayMiss: unknown.has(row._id as string),
      }));
      const mustHear = answers.filter(({ text, mayMiss }) => !mayMiss || heard.includes(text));
      assert.deepEqual(
        heard,
        mustHear.map(({ text }) => text),
      );
      account.messages += own.length;
      account.unknown += answers.filter(({ mayMiss }) => mayMiss).length;
      for (const row of own) {
        const spent = Array<string>((row.attempts as number) - 1);
        account.retried.push(...spent.fill(row.lastError as string));
      }
    }
    assert.ok(account.messages > 0);
    return account;
  }

  /** Texts on a person's phone, oldest first. */
  async #heard(id: number): Promise<string[]> {
    const { entries } = await this.#phone.transcript({ id });
    return entries
      .filter(({ kind, direction }) => kind === "message" && direction === "out")
      .map(({ body }) => body.text ?? "");
  }
}
