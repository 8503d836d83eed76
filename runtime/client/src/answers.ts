/** Following a conversation: long polls one after the other, from a cursor on. */
import type { ListConversationMessagesData, ListConversationMessagesResponse } from "./api.gen.ts";
import { AgentFactoryError } from "./errors.ts";
import { backoffMs } from "./retry.ts";
import type { Transport } from "./transport.ts";

export type ConversationMessage = ListConversationMessagesResponse["messages"][number];

export interface SubscribeOptions {
  /** `seq` of the last message seen; what comes after it is yielded. Default -1: from the start. */
  after?: number;
  /** Default: the agent's answers alone. */
  roles?: ReadonlyArray<ConversationMessage["role"]>;
  /** Ends the iteration, without an error. */
  signal?: AbortSignal;
  /** How long one request waits for news, ms, at most 25000. Default 20000. */
  waitMs?: number;
  /** Failed requests in a row, each already retried, that are endured. Default 20, about two and a half minutes. */
  outagesMax?: number;
}

const WAIT_DEFAULT_MS = 20_000;
const OUTAGES_DEFAULT_MAX = 20;
/** Between two empty polls when something on the way does not let requests wait. */
const EMPTY_POLL_SPACING_MS = 1_000;

/**
 * Yields a conversation's messages as they come. To resume after a crash, keep the `seq` of what was handled and pass
 * it as `after`: nothing is lost or yielded twice.
 *
 * @throws AgentFactoryError what a retry does not mend, or the last of too many failures in a row
 */
export async function* subscribe(
  { call, surroundings, retry }: Transport,
  conversationId: string,
  options: SubscribeOptions = {},
): AsyncGenerator<ConversationMessage, void, undefined> {
  const {
    roles = ["assistant"],
    signal,
    waitMs = WAIT_DEFAULT_MS,
    outagesMax = OUTAGES_DEFAULT_MAX,
  } = options;
  let after = options.after ?? -1;
  let outages = 0;
  for (;;) {
    if (signal?.aborted) return;
    const askedAt = surroundings.now();
    let page: ListConversationMessagesResponse;
    try {
      page = await call<ListConversationMessagesData, ListConversationMessagesResponse>(
        "GET",
        "/conversations/{conversationId}/messages",
        { path: { conversationId }, query: { after, waitMs }, signal },
      );
      outages = 0;
    } catch (error) {
      if (signal?.aborted) return;
      outages += 1;
      if (!(error instanceof AgentFactoryError && error.retryable) || outages > outagesMax) throw error;
      const delayMs = error.retryAfterMs ?? backoffMs(outages, retry, surroundings.random());
      await surroundings.wait(Math.min(delayMs, retry.retryAfterMaxMs), signal);
      continue;
    }
    for (const message of page.messages) {
      if (signal?.aborted) return;
      if (roles.includes(message.role)) yield message;
    }
    after = page.next;
    const early = surroundings.now() - askedAt < waitMs / 2;
    if (page.messages.length === 0 && early) await surroundings.wait(EMPTY_POLL_SPACING_MS, signal);
  }
}
