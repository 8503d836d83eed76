/**
 * One HTTP call with a bounded wait. Dynamic providers are serialised as closures, so this file depends on
 * undici alone and keeps no state.
 */
import { request } from "undici";

/** An answer of any status; `body` is parsed JSON when it is JSON, else its text. */
export interface HttpAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
  text: string;
}

export interface HttpCall {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  headers: Record<string, string>;
  json?: unknown;
  /** Milliseconds until the call counts as unanswered; 30 s by default. */
  timeoutMs?: number;
}

const BODY_MAX_BYTES = 8 * 1024 * 1024;

/**
 * @throws Error when nothing answered in time. The request may have been carried out: callers look before
 * they repeat it.
 */
export async function call(options: HttpCall): Promise<HttpAnswer> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const headers = { ...options.headers };
  if (options.json !== undefined) headers["content-type"] = "application/json";
  const response = await request(options.url, {
    method: options.method,
    headers,
    body: options.json === undefined ? null : JSON.stringify(options.json),
    signal: AbortSignal.timeout(timeoutMs),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  }).catch((error: Error) => {
    throw new Error(`no answer from ${new URL(options.url).origin} (${options.method}): ${error.message}`, {
      cause: error,
    });
  });
  const text = (await response.body.text()).slice(0, BODY_MAX_BYTES);
  let body: unknown = text;
  if (String(response.headers["content-type"] ?? "").includes("json") && text.length > 0) {
    body = JSON.parse(text);
  }
  return { status: response.statusCode, headers: response.headers, body, text };
}

/** Waits between two looks at something that is not there yet. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
