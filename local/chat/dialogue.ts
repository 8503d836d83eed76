import type { ChatEntry, Phone } from "./phone.ts";

/** What one sent line was answered with. */
export type Reply = { kind: "answered"; texts: string[] } | { kind: "timeout" };

export interface ReplyTiming {
  /** How long to wait for the first message. Milliseconds. */
  timeoutMs: number;
  /** A reply is complete when nothing followed for this long: parts and edits of a preview arrive in a row. */
  settleMs: number;
}

/** Sends a line and collects the whole reply; a message that was edited counts in its last version. */
export async function sendAndCollect(phone: Phone, text: string, timing: ReplyTiming): Promise<Reply> {
  let after = await phone.newest();
  const deadline = performance.now() + timing.timeoutMs;
  const texts = new Map<number, string>();
  await phone.send(text);
  for (;;) {
    const leftMs = deadline - performance.now();
    const waitMs = texts.size > 0 ? Math.min(timing.settleMs, Math.max(leftMs, 0)) : leftMs;
    const entry = waitMs > 0 ? await phone.next(after, waitMs) : undefined;
    if (entry === undefined) {
      if (texts.size > 0) return { kind: "answered", texts: [...texts.values()] };
      if (performance.now() >= deadline) return { kind: "timeout" };
      continue;
    }
    after = entry.seq;
    if (entry.kind !== "action" && entry.messageId !== null) texts.set(entry.messageId, entry.text);
  }
}

/** Reports everything the bot does from `after` on, until `stopped`. */
export async function watchBot(
  phone: Phone,
  after: number,
  stopped: AbortSignal,
  show: (entry: ChatEntry) => void,
): Promise<void> {
  let seen = after;
  while (!stopped.aborted) {
    const entry = await phone.next(seen, Number.MAX_SAFE_INTEGER);
    if (entry === undefined || stopped.aborted) continue;
    seen = entry.seq;
    show(entry);
  }
}
