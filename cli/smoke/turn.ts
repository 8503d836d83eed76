/** The two ways in which a smoke message becomes an answer, each watched to its end. */
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import type { Backend } from "../backend/client.ts";
import type { Io } from "../io.ts";
import { duration } from "../output/time.ts";
import { SmokeFailure } from "./step.ts";

type MessageId = Id<"messageQueue">;

const POLL_MS = 2_000;
const TEXT = "This is a smoke test of your own deployment. Answer with one short sentence.";
const PAGE = 100;

export interface Wait {
  timeoutMs: number;
  io: Pick<Io, "now" | "pause">;
}

/** Asks `look` until it finds something. @throws SmokeFailure when the time is up. */
async function until<T>(what: string, { timeoutMs, io }: Wait, look: () => Promise<T | null>): Promise<T> {
  const deadline = io.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (io.now() >= deadline) throw new SmokeFailure(`no ${what} within ${duration(timeoutMs)}`);
    await io.pause(POLL_MS);
  }
}

/** @throws SmokeFailure with the last error when the message was given up or cancelled. */
async function refuseEnded(backend: Backend, messageId: MessageId): Promise<void> {
  for (const status of ["dead_letter", "cancelled"] as const) {
    const { messages } = await backend.run("listJobsByStatus", {
      status,
      paginationOpts: { numItems: PAGE, cursor: null },
    });
    const ended = messages.find((message) => message.messageId === messageId);
    if (ended)
      throw new SmokeFailure(
        `message ${messageId} ended as ${status}: ${ended.lastError ?? "no error recorded"}`,
      );
  }
}

/** Enqueues as a consumer app does and waits for the answer in the conversation's history. */
export async function answerThroughApi(
  backend: Backend,
  { agentKey, nonce }: { agentKey: string; nonce: string },
  wait: Wait,
): Promise<{ messageId: MessageId; detail: string }> {
  const conversationId = `smoke:${nonce}`;
  const messageId = await backend.run("enqueue", {
    conversationId,
    agentKey,
    payload: { provider: "api", providerUserId: "smoke", messageText: TEXT, externalMessageId: nonce },
    destination: null,
  });
  const answer = await until("answer", wait, async () => {
    const { messages } = await backend.run("listConversationMessages", { conversationId });
    const said = messages.find((message) => message.role === "assistant" && message.content.trim() !== "");
    if (said) return said.content;
    await refuseEnded(backend, messageId);
    return null;
  });
  return { messageId, detail: `message ${messageId} answered with ${answer.length} characters` };
}

/** Messages of one Telegram chat that were there before, so that the new one is recognised without any clock. */
export async function messagesOfChat(
  backend: Backend,
  chatId: string,
): Promise<Array<{ messageId: MessageId; conversationId: string }>> {
  const bound = await backend.run("resolveAgentForTelegram", {
    telegramUserId: chatId,
    telegramChatId: chatId,
  });
  const ofChat = (conversationId: string): boolean =>
    conversationId.split(":")[2] === chatId || conversationId === bound?.conversationId;
  const found = [];
  for (const status of ["queued", "processing", "done", "dead_letter"] as const) {
    const { messages } = await backend.run("listJobsByStatus", {
      status,
      paginationOpts: { numItems: PAGE, cursor: null },
    });
    found.push(...messages.filter(({ conversationId }) => ofChat(conversationId)));
  }
  return found.map(({ messageId, conversationId }) => ({ messageId, conversationId }));
}

/** Waits until the chat has a message that is not among `before`, and Telegram has confirmed its answer. */
export async function deliveryInChat(
  backend: Backend,
  { chatId, before }: { chatId: string; before: ReadonlySet<string> },
  wait: Wait,
): Promise<{ messageId: MessageId; detail: string }> {
  const message = await until("message in the queue", wait, async () => {
    const now = await messagesOfChat(backend, chatId);
    return now.find(({ messageId }) => !before.has(messageId)) ?? null;
  });
  const { messageId, conversationId } = message;
  const times = await until("delivery", wait, async () => {
    await refuseEnded(backend, messageId);
    await refuseUndelivered(backend, messageId);
    const rows = await backend.run("messageTimeline", { conversationId, limit: 10 });
    const row = rows.find((candidate) => candidate.messageId === messageId);
    return row?.deliveredAt == null ? null : { from: row.enqueuedAt, to: row.deliveredAt };
  });
  return {
    messageId,
    detail: `message ${messageId} delivered ${duration(times.to - times.from)} after it came in`,
  };
}

async function refuseUndelivered(backend: Backend, messageId: MessageId): Promise<void> {
  for (const state of ["failed", "unknown"] as const) {
    const parts = await backend.run("listDeliveries", { state, limit: PAGE });
    const part = parts.find((candidate) => candidate.messageId === messageId);
    if (part)
      throw new SmokeFailure(`the answer's delivery is ${state}: ${part.lastError ?? "no error recorded"}`);
  }
}
