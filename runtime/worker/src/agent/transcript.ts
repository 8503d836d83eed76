/** Transcript messages in OpenClaw's shape, made from the backend's history where no transcript exists. */
import type { HydrationBundle } from "../../../convex/validators.ts";

/**
 * The conversation's history as a transcript: for a conversation that has words but no snapshot, for example one
 * that a consumer app has begun.
 */
export function seedFromHistory(history: HydrationBundle["history"]): unknown[] {
  return history.flatMap(({ role, content, at }): unknown[] => {
    switch (role) {
      case "user":
        return [{ role: "user", content, timestamp: at }];
      case "assistant":
        return [assistantMessage(content, at)];
      case "system":
        return [{ role: "user", content: `[Note for the assistant] ${content}`, timestamp: at }];
      case "tool":
        return []; // A tool row without its call cannot be replayed to a model.
    }
  });
}

function assistantMessage(text: string, timestamp: number): unknown {
  const cost = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
  return {
    role: "assistant",
    content: [{ type: "text", text }],
    api: "openai-completions",
    provider: "history",
    model: "history",
    usage: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0, cost },
    stopReason: "stop",
    timestamp,
  };
}
