/** A turn as spans. Ids and durations only: no words of a person, a model or a provider, and no secret. */
import { createHash, randomBytes } from "node:crypto";
import type { Claim } from "../../../convex/validators.ts";
import type { TurnEnd } from "../turn.ts";

export interface Span {
  /** 32 hex digits. */
  traceId: string;
  /** 16 hex digits. */
  spanId: string;
  parentSpanId: string | null;
  name: string;
  /** Unix time, ms. */
  startMs: number;
  endMs: number;
  attributes: Record<string, string | number>;
  failed: boolean;
}

/**
 * One span for the turn, and one for each phase of an answered one.
 *
 * All attempts of a message share a trace: its id is the beginning of the SHA-256 of the message's id, so that a
 * trace is found from what a log line or `factory trace` shows.
 *
 * @param endedAt Unix time, ms.
 */
export function turnSpans(claim: Claim, end: TurnEnd, totalMs: number, endedAt: number): Span[] {
  const traceId = createHash("sha256").update(claim.messageId).digest("hex").slice(0, 32);
  const startMs = endedAt - totalMs;
  const turn: Span = {
    traceId,
    spanId: newSpanId(),
    parentSpanId: null,
    name: "turn",
    startMs,
    endMs: endedAt,
    attributes: {
      "message.id": claim.messageId,
      "conversation.id": claim.conversationId,
      "agent.key": claim.agentKey,
      "lease.id": claim.leaseId,
      "turn.attempt": claim.attempt,
      "turn.end": end.kind,
      ...detailOf(end),
    },
    failed: end.kind === "failed" || end.kind === "lost",
  };
  if (end.kind !== "answered") return [turn];
  // The phases follow each other without a gap that matters, so that their durations place them.
  let at = startMs;
  const phases = [
    ["hydrate", end.hydrateMs],
    ["model", end.modelMs],
    ["snapshot", end.snapshotMs],
  ] as const;
  return [
    turn,
    ...phases.map(([name, ms]): Span => {
      const span = {
        traceId,
        spanId: newSpanId(),
        parentSpanId: turn.spanId,
        name,
        startMs: at,
        endMs: at + ms,
        attributes: {},
        failed: false,
      };
      at += ms;
      return span;
    }),
  ];
}

/** Of a failure only its kind goes out. */
function detailOf(end: TurnEnd): Record<string, string | number> {
  switch (end.kind) {
    case "answered":
      return { "snapshot.bytes": end.uploadedBytes };
    case "failed":
      return { "error.kind": end.errorKind };
    case "released":
      return { "release.reason": end.reason };
    case "lost":
      return {};
  }
}

function newSpanId(): string {
  return randomBytes(8).toString("hex");
}
