/** The bridge functions of a session's profile as tools. */
import { createHash } from "node:crypto";
import { executeBridgeFunction } from "../src/bridge/execute.ts";
import type { PluginTool } from "./api.ts";
import { type SessionState, sessionState } from "./sessions.ts";

/** Tools of a session; none when its profile has no bridge functions. */
export function bridgeTools(sessionKey: string | undefined): PluginTool[] | null {
  const state = sessionState(sessionKey);
  if (state === undefined || sessionKey === undefined || state.functions.length === 0) return null;
  return state.functions.map(({ key, toolName, description, parameters }) => ({
    name: toolName,
    label: key,
    description,
    parameters,
    execute: async (_toolCallId, args, signal) => {
      // Looked up again: the session may have begun another turn, with other keys, since the tool was offered.
      const current = sessionState(sessionKey);
      const result =
        current === undefined
          ? { success: false, status: 400, functionKey: key, error: "The session has ended" }
          : await callBridge(current, key, args, signal);
      return {
        content: [{ type: "text", text: JSON.stringify(result) }],
        details: { status: result.status },
      };
    },
  }));
}

async function callBridge(
  state: SessionState,
  functionKey: string,
  args: unknown,
  signal: AbortSignal | undefined,
) {
  if (!state.bridge.ok) return { success: false, status: 400, functionKey, error: state.bridge.error };
  const { idempotencyKey, repeat } = nextCall(state, functionKey, args);
  const result = await executeBridgeFunction(state.bridge.config, {
    functionKey,
    args,
    idempotencyKey,
    signal,
  });
  // The app may have acted. A model that is told of a failure tries again, and must not act twice by that.
  if (isUndecided(result.status)) repeat();
  return result;
}

/**
 * Counts a call. Its key is made of message, function, arguments, and how often this turn has made that very call:
 * equal when the turn is repeated. `repeat` makes the next such call this one again.
 */
export function nextCall(
  state: Pick<SessionState, "messageId" | "occurrences">,
  functionKey: string,
  args: unknown,
): { idempotencyKey: string; repeat: () => void } {
  const call = `${functionKey}\0${canonicalJson(args)}`;
  const occurrences = state.occurrences.get(call) ?? { made: 0, undecided: [] };
  state.occurrences.set(call, occurrences);
  const occurrence = occurrences.undecided.shift() ?? ++occurrences.made;
  const idempotencyKey = createHash("sha256")
    .update(`${state.messageId}\0${call}\0${occurrence}`)
    .digest("hex");
  return { idempotencyKey, repeat: () => void occurrences.undecided.push(occurrence) };
}

/** No answer at all, or a failure of the app's own: whether it acted is not known. */
const isUndecided = (status: number): boolean => status === 0 || status >= 500;

/** JSON with the keys in order, so that equal arguments are equal text. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}
