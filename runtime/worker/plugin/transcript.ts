/**
 * The messages of a transcript's events, in order. Other events (model changes, trajectories, labels) describe
 * this gateway's run and mean nothing elsewhere.
 */
export function messagesOf(events: readonly unknown[]): unknown[] {
  return events.flatMap((event) => {
    if (typeof event !== "object" || event === null) return [];
    const { type, message } = event as { type?: unknown; message?: unknown };
    return type === "message" && message !== undefined ? [message] : [];
  });
}
