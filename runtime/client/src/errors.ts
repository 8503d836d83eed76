/** The one error that this package throws, apart from a caller's own abort. */
import type { ErrorBody } from "./api.gen.ts";

/** Codes of the client itself; all others come from the API and are documented there. */
export type ClientErrorCode =
  /** No answer arrived: whether the request was carried out is unknown. */
  | "network"
  /** Likewise: nothing arrived in time. */
  | "timeout"
  /** An answer that this client cannot read, for example of a proxy. */
  | "malformed_answer"
  /** A webhook that the factory did not sign, or signed too long ago. */
  | "invalid_signature";

export interface AgentFactoryErrorDetails {
  code: string;
  message: string;
  /** HTTP status; 0 when there was no answer. */
  status: number;
  retryable: boolean;
  requestId?: string | null;
  retryAfterMs?: number | null;
  idempotencyKey?: string | null;
  cause?: unknown;
}

/** What a failure of unknown outcome means for a request. */
export interface Fate {
  /** Whether the caller may make the same call again: it acts once all the same. */
  mayRepeat: boolean;
  /** The key that the request bore, if any. */
  idempotencyKey: string | null;
}

/**
 * `code` tells what happened, `retryable` whether the same request may be sent again and may then succeed (the client
 * has already retried what was safe to retry). It is false for a request of unknown fate that must not happen twice;
 * one that bore a key may be sent again with {@link idempotencyKey}, and then acts once.
 * `requestId` is what the deployment's log calls the request.
 */
export class AgentFactoryError extends Error {
  override readonly name = "AgentFactoryError";
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly requestId: string | null;
  /** How long the API asked to wait, ms; null when it did not. */
  readonly retryAfterMs: number | null;
  /** The Idempotency-Key that the request bore; null without one. */
  readonly idempotencyKey: string | null;

  constructor(details: AgentFactoryErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.status = details.status;
    this.retryable = details.retryable;
    this.requestId = details.requestId ?? null;
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.idempotencyKey = details.idempotencyKey ?? null;
  }
}

/** Reads a refusal; anything that is not of the documented shape is a `malformed_answer` with its status. */
export function errorOfAnswer(
  status: number,
  body: unknown,
  retryAfterMs: number | null,
  { mayRepeat, idempotencyKey }: Fate,
): AgentFactoryError {
  const error = refusalOf(body);
  // Of a 5xx the API cannot know either whether something had been done before.
  const safe = status < 500 || mayRepeat;
  const rest = { status, retryAfterMs, idempotencyKey };
  if (error !== null) return new AgentFactoryError({ ...error, ...rest, retryable: error.retryable && safe });
  return new AgentFactoryError({
    code: "malformed_answer",
    message: `The API answered ${status} without an error in its documented shape; check the base URL`,
    ...rest,
    retryable: status === 429 || (status >= 500 && safe),
  });
}

function refusalOf(body: unknown): ErrorBody["error"] | null {
  const error = (body as Partial<ErrorBody> | null)?.error as Partial<ErrorBody["error"]> | undefined;
  if (typeof error?.code !== "string" || typeof error.message !== "string") return null;
  const { code, message, retryable = false, requestId = "" } = error;
  return { code, message, retryable, requestId };
}
