/** The Bot API call that one part becomes. */
import type { Doc, Id } from "../_generated/dataModel.js";

/** An announced part with everything that its sending needs (replies/delivery.ts `step`). */
export type SendJob = {
  partId: Id<"outbox">;
  attempt: number;
  apiUrl: string;
  token: string;
  destination: Doc<"outbox">["destination"];
  content: Doc<"outbox">["content"];
  fallbacks: Doc<"outbox">["fallbacks"];
  /** Telegram's id of the message that this part changes; null for one that is sent anew. */
  editsMessageId: number | null;
  timeoutMs: number;
};

/** Telegram takes photos up to 10 MB; larger images go as documents. */
const PHOTO_BYTES_MAX = 10 * 1024 * 1024;
const PHOTO_TYPES = new Set(["image/jpeg", "image/png", "image/webp"]);

export type SendRequest = { method: string; body: Record<string, unknown> | FormData };

/** Where a part goes. A quoted message that is gone must not keep the answer from arriving. */
function address(job: SendJob): Record<string, string | number | object> {
  const { chatId, threadId, replyToMessageId } = job.destination;
  return {
    chat_id: chatId,
    ...(threadId === undefined || job.fallbacks.withoutThread ? {} : { message_thread_id: threadId }),
    ...(replyToMessageId === undefined
      ? {}
      : { reply_parameters: { message_id: replyToMessageId, allow_sending_without_reply: true } }),
  };
}

/** Builds the call. `blob` is the stored file of a file part, null for text. */
export function buildSend(job: SendJob, blob: Blob | null): SendRequest {
  const { content, editsMessageId } = job;
  const message = { chat_id: job.destination.chatId, message_id: editsMessageId };
  if (content.kind === "withdrawal") return { method: "deleteMessage", body: message };
  if (content.kind === "text") {
    const text = job.fallbacks.plainText
      ? { text: content.plain }
      : { text: content.html, parse_mode: "HTML" };
    const shown = { ...text, link_preview_options: { is_disabled: true } };
    return editsMessageId === null
      ? { method: "sendMessage", body: { ...address(job), ...shown } }
      : { method: "editMessageText", body: { ...message, ...shown } };
  }
  const file = blob ?? new Blob([]);
  const asPhoto =
    !job.fallbacks.asDocument && PHOTO_TYPES.has(content.mimeType ?? "") && file.size <= PHOTO_BYTES_MAX;
  const form = new FormData();
  for (const [name, value] of Object.entries(address(job))) {
    form.set(name, typeof value === "object" ? JSON.stringify(value) : `${value}`);
  }
  const typed = content.mimeType === undefined ? file : new Blob([file], { type: content.mimeType });
  form.set(asPhoto ? "photo" : "document", typed, content.fileName);
  return { method: asPhoto ? "sendPhoto" : "sendDocument", body: form };
}
