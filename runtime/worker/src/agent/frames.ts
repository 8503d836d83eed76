/**
 * What may come over the gateway's socket, parsed at the edge: a gateway that is broken says anything, and nothing of
 * it may reach a turn.
 */
import * as z from "zod";

export type Frame =
  | { kind: "event"; event: string; payload: unknown }
  | { kind: "answer"; id: string; payload: unknown }
  | { kind: "refusal"; id: string; code: string; message: string }
  /** A type that this client does not know. */
  | { kind: "other" };

const eventSchema = z.object({
  type: z.literal("event"),
  event: z.string(),
  payload: z.unknown().optional(),
});
const resultSchema = z.object({
  type: z.literal("res"),
  id: z.string(),
  ok: z.boolean(),
  payload: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).nullish(),
});
const envelopeSchema = z.object({ type: z.string() });

/** @returns null for what the protocol does not allow: text that is not JSON, bytes, values of other shapes. */
export function parseFrame(data: unknown): Frame | null {
  const value = typeof data === "string" ? parseJson(data) : undefined;
  const envelope = envelopeSchema.safeParse(value);
  if (!envelope.success) return null;
  switch (envelope.data.type) {
    case "event": {
      const event = eventSchema.safeParse(value);
      return event.success ? { kind: "event", event: event.data.event, payload: event.data.payload } : null;
    }
    case "res": {
      const result = resultSchema.safeParse(value);
      if (!result.success) return null;
      const { id, ok, payload, error } = result.data;
      if (ok) return { kind: "answer", id, payload };
      return {
        kind: "refusal",
        id,
        code: error?.code ?? "UNKNOWN",
        message: error?.message ?? "refused without a reason",
      };
    }
    default:
      return { kind: "other" };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const textSchema = z.object({
  runId: z.string(),
  stream: z.literal("assistant"),
  data: z.object({ text: z.string() }),
});

/** What a run has written so far, of the payload of an `agent` event; null for its other events. */
export function parseAssistantText(payload: unknown): { runId: string; text: string } | null {
  const parsed = textSchema.safeParse(payload);
  return parsed.success ? { runId: parsed.data.runId, text: parsed.data.data.text } : null;
}
