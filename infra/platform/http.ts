/**
 * One HTTP call with a bounded wait and a bounded answer, and the one rule about repeating it. Dynamic providers
 * are serialised as closures, so this file depends on undici alone and keeps no state.
 */
import { request } from "undici";
import { pause } from "./pause.ts";
import { redact } from "./redact.ts";

/** An answer of any status; `body` is parsed JSON when it is JSON, else its text. */
export interface HttpAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
  /** For error messages: without the call's credential and secrets. */
  text: string;
}

export interface HttpCall {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  headers: Record<string, string>;
  json?: unknown;
  /** Values inside the call that no error may show, whatever the server quotes. */
  secrets?: readonly string[];
  /** Milliseconds until the call counts as unanswered; 30 s by default. */
  timeoutMs?: number;
}

const BODY_MAX_BYTES = 8 * 1024 * 1024;
/** A server that asks for time gets it this often. */
const BUSY_TRIES_MAX = 10;
const UNANSWERED_TRIES_MAX = 3;
/** Longest wait that a server may ask for, ms. */
const RETRY_AFTER_MAX_MS = 30_000;

/** Whether a failed call may have been carried out all the same. Only such a failure may not be taken back. */
export function isOutcomeUnknown(error: unknown): boolean {
  return error instanceof Error && (error as { outcome?: string }).outcome === "unknown";
}

/** An error whose call may have been carried out. */
export function outcomeUnknown(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { outcome: "unknown" });
}

/** What an error about this call may not show: the secrets in it and its credential. */
export function secretsOf(options: HttpCall): string[] {
  const authorization = options.headers["authorization"] ?? "";
  return [...(options.secrets ?? []), authorization.slice(authorization.indexOf(" ") + 1)];
}

async function boundedText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > BODY_MAX_BYTES) throw new Error(`the answer is larger than ${BODY_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * @throws Error when no whole answer came in time. The request may have been carried out (`isOutcomeUnknown`):
 * callers look before they repeat it.
 */
export async function call(options: HttpCall): Promise<HttpAnswer> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const headers = { ...options.headers };
  if (options.json !== undefined) headers["content-type"] = "application/json";
  const secrets = secretsOf(options);
  try {
    const response = await request(options.url, {
      method: options.method,
      headers,
      body: options.json === undefined ? null : JSON.stringify(options.json),
      signal: AbortSignal.timeout(timeoutMs),
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    const text = await boundedText(response.body);
    return {
      status: response.statusCode,
      headers: response.headers,
      body: parsed(text, String(response.headers["content-type"] ?? "")),
      text: redact(text, secrets),
    };
  } catch (error) {
    const reason = redact(error instanceof Error ? error.message : String(error), secrets);
    // Without the original as its cause: Pulumi prints causes, and this one is not redacted.
    throw outcomeUnknown(`no answer from ${new URL(options.url).origin} (${options.method}): ${reason}`);
  }
}

/** JSON by its content type; what claims to be JSON and is not (a gateway's page) stays text. */
function parsed(text: string, contentType: string): unknown {
  if (!contentType.includes("json") || text.length === 0) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

/** Milliseconds that a busy server asks for, else a wait that grows with the tries. */
function busyPauseMs(answer: HttpAnswer, attempt: number): number {
  const asked = Number(answer.headers["retry-after"]);
  return Number.isFinite(asked) && asked > 0
    ? Math.min(asked * 1_000, RETRY_AFTER_MAX_MS)
    : 1_000 * Math.min(attempt, 3);
}

/**
 * The same, repeated while that is safe: after a 429, which says that nothing was done, and for a read that got
 * no answer. A write without an answer may have happened and is never repeated here.
 */
export async function callPatiently(options: HttpCall): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await call(options).catch((error: Error) => {
      if (options.method !== "GET" || attempt >= UNANSWERED_TRIES_MAX) throw error;
      return null;
    });
    if (answer && (answer.status !== 429 || attempt >= BUSY_TRIES_MAX)) return answer;
    await pause(answer ? busyPauseMs(answer, attempt) : 1_000 * attempt);
  }
}
