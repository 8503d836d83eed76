/** Messages, conversations, agents, files. */
import { type ConversationMessage, subscribe, type SubscribeOptions } from "./answers.ts";
import type * as api from "./api.gen.ts";
import type { Keyed, Transport } from "./transport.ts";

export type Message = api.GetMessageResponse;
/** Accepted once per conversation and key. */
export type EnqueueRequest = api.EnqueueMessageData["body"] & Keyed;

export interface WaitOptions {
  /** Time to wait in all, ms. Default 5 minutes. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

const WAIT_DEFAULT_MS = 5 * 60_000;
/** The longest that the API keeps one request open. */
const POLL_MAX_MS = 20_000;

const hasEnded = ({ status }: Message): boolean => status !== "queued" && status !== "processing";

export function messageMethods(transport: Transport) {
  const { call, surroundings } = transport;

  const getMessage = (messageId: string, options: { waitMs?: number; signal?: AbortSignal } = {}) =>
    call<api.GetMessageData, Message>("GET", "/messages/{messageId}", {
      path: { messageId },
      query: { waitMs: options.waitMs },
      signal: options.signal,
    });

  return {
    /** Sends a message to an agent. Conversations come into being with their first message. */
    enqueue({ idempotencyKey, ...body }: EnqueueRequest) {
      return call<api.EnqueueMessageData, api.EnqueueMessageResponse>("POST", "/messages", {
        body,
        keyed: { idempotencyKey },
      });
    },

    /** Status and answer; with `waitMs` (at most 25000), waits so long for the message's end. */
    getMessage,

    /**
     * Waits until a message has ended: done, given up (`dead_letter`) or cancelled. Returns it as it is when the time
     * is over; look at `status`.
     */
    async waitForMessage(
      messageId: string,
      { timeoutMs = WAIT_DEFAULT_MS, signal }: WaitOptions = {},
    ): Promise<Message> {
      const deadline = surroundings.now() + timeoutMs;
      for (;;) {
        const leftMs = Math.max(0, deadline - surroundings.now());
        const waitMs = Math.min(POLL_MAX_MS, leftMs);
        const askedAt = surroundings.now();
        const message = await getMessage(messageId, { waitMs, signal });
        if (hasEnded(message) || leftMs === 0) return message;
        // Something on the way that does not let requests wait must not turn this into a storm.
        if (surroundings.now() - askedAt < waitMs / 2) await surroundings.wait(1_000, signal);
        signal?.throwIfAborted();
      }
    },

    /** `none`: it had ended otherwise. `requested`: it runs and ends as soon as its worker confirms. */
    cancelMessage(messageId: string) {
      return call<api.CancelMessageData, api.CancelMessageResponse>("POST", "/messages/{messageId}/cancel", {
        path: { messageId },
        idempotent: true,
      });
    },

    /** History, oldest first. Pass the last page's `next` as `after` while `more` is true. */
    listConversationMessages(
      conversationId: string,
      query: NonNullable<api.ListConversationMessagesData["query"]> = {},
    ) {
      return call<api.ListConversationMessagesData, api.ListConversationMessagesResponse>(
        "GET",
        "/conversations/{conversationId}/messages",
        { path: { conversationId }, query },
      );
    },

    /** The answers of a conversation as they come; see {@link SubscribeOptions}. */
    subscribe(conversationId: string, options?: SubscribeOptions): AsyncGenerator<ConversationMessage, void> {
      return subscribe(transport, conversationId, options);
    },

    /** The agents that the key may use. */
    async listAgents() {
      const { agents } = await call<api.ListAgentsData, api.ListAgentsResponse>("GET", "/agents", {});
      return agents;
    },

    /** A URL to POST one file to; the answer's `storageId` goes into an attachment of {@link enqueue}. */
    generateMediaUploadUrl() {
      // A second URL does no harm: one that is not used expires.
      return call<api.CreateUploadData, api.CreateUploadResponse>("POST", "/uploads", { idempotent: true });
    },
  };
}
