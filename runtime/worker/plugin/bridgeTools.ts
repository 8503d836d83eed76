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
  return await executeBridgeFunction(state.bridge.config, {
    functionKey,
    args,
    idempotencyKey: idempotencyKey(state, functionKey, args),
    signal,
  });
}

/** Message, function, arguments, and how often this turn has made that very call: equal when the turn is repeated. */
export function idempotencyKey(state: SessionState, functionKey: string, args: unknown): string {
  const call = `${functionKey}\0${canonicalJson(args)}`;
  const occurrence = (state.occurrences.get(call) ?? 0) + 1;
  state.occurrences.set(call, occurrence);
  return createHash("sha256").update(`${state.messageId}\0${call}\0${occurrence}`).digest("hex");
}

/** JSON with the keys in order, so that equal arguments are equal text. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}
