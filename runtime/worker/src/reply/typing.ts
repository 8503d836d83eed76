/** "is typing…" in the person's chat while the agent works. Answers themselves are sent by the backend. */
import type { HydrationBundle } from "../../../convex/validators.ts";

/** Telegram shows the indicator for five seconds. */
const REPEAT_MS = 4_500;
const CALL_TIMEOUT_MS = 4_000;
/** Refusals in a row after which the chat is left alone: a person who blocked the bot sees nothing anyway. */
const FAILURES_MAX = 3;

/** Starts the indicator where one is wanted. Never throws and never delays the turn. @returns its stop. */
export function startTyping(bundle: HydrationBundle, signal: AbortSignal): () => void {
  const { destination, telegramBotToken } = bundle;
  if (!bundle.typingIndicator || destination?.kind !== "telegram" || telegramBotToken === null)
    return () => undefined;
  const url = `${bundle.telegramApiUrl.replace(/\/+$/, "")}/bot${telegramBotToken}/sendChatAction`;
  const body = JSON.stringify({
    chat_id: destination.chatId,
    action: "typing",
    ...(destination.threadId === undefined ? {} : { message_thread_id: destination.threadId }),
  });
  let failures = 0;
  const show = async (): Promise<void> => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      await response.body?.cancel();
      failures = response.ok ? 0 : failures + 1;
    } catch {
      failures += 1; // The indicator is a courtesy: its loss is no reason to fail a turn.
    }
    if (failures >= FAILURES_MAX) stop();
  };
  const timer = setInterval(() => void show(), REPEAT_MS);
  const stop = (): void => {
    clearInterval(timer);
    signal.removeEventListener("abort", stop);
  };
  signal.addEventListener("abort", stop, { once: true });
  void show();
  return stop;
}
