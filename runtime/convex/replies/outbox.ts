/** The outbox's only inserts: answers and notices become rows, one per part, before anything is sent. */
import { clipText } from "../policy/clipText.ts";
import { textParts } from "../policy/telegramText/parts.ts";
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import type { Answer, Destination } from "../validators.ts";
import { emitMessageEvent, type EventType } from "../api/events.ts";
import { controlLane, ensureLane, kickLane } from "./lanes.ts";
import { takePreview } from "./preview.ts";

/**
 * What is kept and told of an answer beside its parts, characters: with it the message's row and an event stay far below
 * Convex's 1 MiB per document, at six bytes each in JSON.
 */
export const ANSWER_KEPT_CHARS = 100_000;

type TelegramDestination = Extract<Destination, { kind: "telegram" }>;
type PartContent = Doc<"outbox">["content"];

/** Files of one answer beyond this are left out; Telegram chats are no file shares. */
const FILES_MAX = 10;

/**
 * Stores an agent's answer in the transaction that completes its message. Sending starts at once, outside it.
 * Returns how many parts will be sent; 0 for messages whose answer nobody receives in a chat.
 */
export async function storeAnswer(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  answer: Answer,
): Promise<{ parts: number }> {
  const { destination } = message;
  if (destination?.kind === "api") {
    await emitMessageEvent(ctx, message, "message.answered", clipText(answer.text, ANSWER_KEPT_CHARS));
  }
  if (destination === null || destination.kind !== "telegram") return { parts: 0 };
  const contents: PartContent[] = [
    ...textParts(answer.text).map((part): PartContent => ({ kind: "text", ...part })),
    ...(answer.files ?? []).slice(0, FILES_MAX).map((file): PartContent => ({ kind: "file", ...file })),
  ];
  await appendParts(
    ctx,
    contents,
    {
      lane: message.conversationId,
      conversationId: message.conversationId,
      messageId: message._id,
      reason: "answer",
      destination,
    },
    await takePreview(ctx, message._id),
  );
  return { parts: contents.length };
}

/** Takes the preview of a message back that ended without a word: cancelled, or an agent that chose silence. */
export async function withdrawPreview(ctx: MutationCtx, message: Doc<"messageQueue">): Promise<void> {
  if (message.destination?.kind !== "telegram") return;
  const preview = await takePreview(ctx, message._id);
  if (preview === null) return;
  await appendParts(
    ctx,
    [],
    {
      lane: message.conversationId,
      conversationId: message.conversationId,
      messageId: message._id,
      reason: "withdrawal",
      destination: message.destination,
    },
    preview,
  );
}

export type Notice = {
  /** Only its name is needed: notices also go to chats that have no conversation yet. */
  conversation: { conversationId: string };
  destination: Destination | null;
  /** Markdown. */
  text: string;
  /** Why it is sent, for operators: given_up, cancelled, capacity, command, pairing, … */
  reason: string;
  messageId?: Id<"messageQueue">;
  /** `control` overtakes the conversation's own parts. Default `conversation`. */
  lane?: "conversation" | "control";
};

/** Reasons that end a message: a consumer app is told of them by webhook, since it has no chat to be told in. */
const endingReasons: Record<string, EventType> = {
  given_up: "message.failed",
  cancelled: "message.cancelled",
};

/** Stores a line that the system itself says to a person in a chat; a consumer app is told of a message's end. */
export async function storeNotice(ctx: MutationCtx, notice: Notice): Promise<void> {
  const { destination } = notice;
  const ending = endingReasons[notice.reason];
  if (destination?.kind === "api" && ending !== undefined && notice.messageId !== undefined) {
    const message = await ctx.db.get("messageQueue", notice.messageId);
    if (message !== null) await emitMessageEvent(ctx, message, ending, notice.reason);
  }
  if (destination === null || destination.kind !== "telegram") return;
  const { conversationId } = notice.conversation;
  const replaces =
    ending === undefined || notice.messageId === undefined ? null : await takePreview(ctx, notice.messageId);
  await appendParts(
    ctx,
    textParts(notice.text).map((part): PartContent => ({ kind: "text", ...part })),
    {
      lane: notice.lane === "control" ? controlLane(conversationId) : conversationId,
      conversationId,
      messageId: notice.messageId,
      reason: notice.reason,
      destination,
    },
    replaces,
  );
}

/** Appends parts to a lane. Where a preview stands in the chat, the first text takes its place. */
async function appendParts(
  ctx: MutationCtx,
  said: readonly PartContent[],
  common: {
    lane: string;
    conversationId: string;
    messageId?: Id<"messageQueue"> | undefined;
    reason: string;
    destination: TelegramDestination;
  },
  preview: Doc<"outbox"> | null,
): Promise<void> {
  const isReplaced = preview === null || said[0]?.kind === "text";
  const contents: readonly PartContent[] = isReplaced ? said : [{ kind: "withdrawal" }, ...said];
  if (contents.length === 0) return;
  const now = Date.now();
  const lane = await ensureLane(ctx, common.lane);
  for (const [index, content] of contents.entries()) {
    const { replyToMessageId: _, ...withoutReply } = common.destination;
    await ctx.db.insert("outbox", {
      ...common,
      // Only the first part quotes the person's message; quoting it forty times would drown the chat.
      destination: index === 0 ? common.destination : withoutReply,
      seq: lane.nextSeq + index,
      content,
      ...(index === 0 && preview !== null ? { edits: preview._id } : {}),
      state: "pending",
      fallbacks: { plainText: false, withoutThread: false, asDocument: false },
      attempts: 0,
      createdAt: now,
      nextAttemptAt: now,
    });
  }
  await ctx.db.patch("outboxLanes", lane._id, { nextSeq: lane.nextSeq + contents.length });
  await kickLane(ctx, lane, now);
}
