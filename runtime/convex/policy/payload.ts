/** What may enter the queue. */
import type { Payload } from "../validators.ts";

export type PayloadProblem = { code: "invalid_argument" | "payload_too_large"; message: string };

/** Names become index keys; Convex refuses very long ones with an error that would name nothing. */
const NAME_MAX_CHARS = 512;
const ATTACHMENTS_MAX = 20;

const encoder = new TextEncoder();

/** The first problem of a request, or null. Nothing has been written when it is found. */
export function checkPayload(
  request: { conversationId: string; agentKey: string; payload: Payload },
  payloadMaxBytes: number,
): PayloadProblem | null {
  const { conversationId, agentKey, payload } = request;
  for (const [field, value] of [
    ["conversationId", conversationId],
    ["agentKey", agentKey],
    ["payload.externalMessageId", payload.externalMessageId],
  ] as const) {
    if (value === undefined) continue;
    if (value.trim() === "") return { code: "invalid_argument", message: `${field} must not be blank` };
    if (value.length > NAME_MAX_CHARS) {
      return {
        code: "invalid_argument",
        message: `${field} has ${value.length} characters, the limit is ${NAME_MAX_CHARS}`,
      };
    }
  }
  if (payload.providerUserId.trim() === "") {
    return { code: "invalid_argument", message: "providerUserId is required but missing in payload" };
  }
  if ((payload.attachments?.length ?? 0) > ATTACHMENTS_MAX) {
    return {
      code: "invalid_argument",
      message: `payload.attachments has ${payload.attachments?.length} entries, the limit is ${ATTACHMENTS_MAX}`,
    };
  }
  const bytes = encoder.encode(JSON.stringify(payload)).length;
  if (bytes > payloadMaxBytes) {
    return {
      code: "payload_too_large",
      message: `payload is ${bytes} bytes, the limit is ${payloadMaxBytes} (queue.payloadMaxBytes)`,
    };
  }
  return null;
}
