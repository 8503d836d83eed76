/**
 * The messages of a transcript's events, in order. Other events (model changes, trajectories, labels) describe
 * this gateway's run and mean nothing elsewhere. Where the engine has compacted the conversation, its summary
 * stands for what it replaced: the model is shown no more than that here, and must not be shown more elsewhere.
 */
export function messagesOf(events: readonly unknown[]): unknown[] {
  const entries = events.filter((event): event is Entry => typeof event === "object" && event !== null);
  const boundary = entries.findLastIndex(({ type }) => type === "compaction");
  const compaction = entries[boundary];
  if (compaction === undefined) return entries.flatMap(messageOf);
  const firstKept = entries.findIndex(({ id }) => id !== undefined && id === compaction.firstKeptEntryId);
  const start = firstKept >= 0 && firstKept < boundary ? firstKept : boundary;
  return [summaryOf(compaction), ...entries.slice(start).flatMap(messageOf)];
}

/** Part of a transcript's events that matters here. */
interface Entry {
  type?: unknown;
  id?: unknown;
  message?: unknown;
  summary?: unknown;
  firstKeptEntryId?: unknown;
  timestamp?: unknown;
}

const messageOf = ({ type, message }: Entry): unknown[] =>
  type === "message" && message !== undefined ? [message] : [];

function summaryOf({ summary, timestamp }: Entry): unknown {
  const at = typeof timestamp === "string" ? Date.parse(timestamp) : Number(timestamp);
  return {
    role: "user",
    content: `[Summary of the conversation so far]\n${typeof summary === "string" ? summary : ""}`,
    timestamp: Number.isFinite(at) ? at : 0,
  };
}

/** Messages from `after` on, as many as fit into `bytesMax` bytes of JSON, at least one. */
export function pageOf(
  messages: readonly unknown[],
  after: number,
  bytesMax: number,
): { messages: unknown[]; more: boolean } {
  const page: unknown[] = [];
  let bytes = 0;
  for (const message of messages.slice(after)) {
    bytes += Buffer.byteLength(JSON.stringify(message));
    if (page.length > 0 && bytes > bytesMax) return { messages: page, more: true };
    page.push(message);
  }
  return { messages: page, more: false };
}
