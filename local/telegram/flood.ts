import { tooManyRequests } from "./errors.ts";

/** Telegram's published limits; it does not say how strictly it keeps them, this server keeps them to the letter. */
export const TELEGRAM_FLOOD_LIMITS: readonly FloodLimit[] = [
  { scope: "chat", count: 1, windowMs: 1_000 },
  { scope: "group", count: 20, windowMs: 60_000 },
  { scope: "bot", count: 30, windowMs: 1_000 },
];

/** At most `count` messages in any `windowMs`: per chat, per group chat, or over all chats of a bot. */
export interface FloodLimit {
  scope: "chat" | "group" | "bot";
  count: number;
  windowMs: number;
}

/** Counts sent messages and refuses the ones that come too fast. */
export interface FloodControl {
  /** @throws 429 with `retry_after`; a refused message does not count. */
  admit(botId: number, chatId: number, now: number): void;
}

export function createFloodControl(limits: readonly FloodLimit[]): FloodControl {
  const sent = new Map<string, number[]>();
  return {
    admit(botId, chatId, now) {
      const applicable = limits
        .filter((limit) => limit.scope !== "group" || chatId < 0)
        .map((limit) => ({ limit, key: `${limit.scope} ${botId} ${limit.scope === "bot" ? "" : chatId}` }));
      let waitMs = 0;
      for (const { limit, key } of applicable) {
        const recent = (sent.get(key) ?? []).filter((at) => at > now - limit.windowMs);
        if (recent.length === 0) sent.delete(key);
        else sent.set(key, recent);
        const oldest = recent[recent.length - limit.count];
        if (oldest !== undefined) waitMs = Math.max(waitMs, oldest + limit.windowMs - now);
      }
      if (waitMs > 0) throw tooManyRequests(Math.max(1, Math.ceil(waitMs / 1000)));
      for (const { key } of applicable) sent.set(key, [...(sent.get(key) ?? []), now]);
    },
  };
}
