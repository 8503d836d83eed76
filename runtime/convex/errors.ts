/**
 * The closed set of errors that leave the backend. `kind` says what the caller may do: retry, give up, or
 * find out first (unknown: the request may have succeeded).
 */
import { ConvexError } from "convex/values";

export type ErrorKind = "retryable" | "permanent" | "unknown";

export const errorKinds = {
  invalid_argument: "permanent",
  unauthorized: "permanent",
  forbidden: "permanent",
  not_found: "permanent",
  conflict: "permanent",
  payload_too_large: "permanent",
  backlog_full: "retryable",
  rate_limited: "retryable",
  not_configured: "permanent",
  decryption_failed: "permanent",
  provider_failed: "retryable",
  provider_unknown: "unknown",
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;
export type FactoryErrorData = { code: ErrorCode; kind: ErrorKind; message: string };

/** Throws as a ConvexError, so that code and message reach the caller and nothing else does. */
export class FactoryError extends ConvexError<FactoryErrorData> {
  constructor(code: ErrorCode, message: string) {
    super({ code, kind: errorKinds[code], message });
    this.name = "FactoryError";
  }
}

/** What a caught error may say to its caller; null for anything that is not one of ours. */
export function factoryErrorOf(error: unknown): FactoryErrorData | null {
  if (!(error instanceof ConvexError)) return null;
  const data = error.data as Partial<FactoryErrorData> | string | null;
  if (typeof data !== "object" || data === null) return null;
  const { code, message } = data;
  if (code === undefined || message === undefined || !Object.hasOwn(errorKinds, code)) return null;
  return { code, kind: errorKinds[code], message };
}
