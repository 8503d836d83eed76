import { parseRetryAfter } from "./redelivery.ts";
import type { Webhook } from "./webhooks.ts";

/** How one attempt to deliver an update ended. */
export type PostOutcome =
  | { kind: "accepted"; status: number; ms: number; answer: Record<string, unknown> | undefined }
  | {
      kind: "failed";
      status: number | undefined;
      ms: number;
      error: string;
      retryAfterSeconds: number | undefined;
    };

const ANSWER_LIMIT_BYTES = 1 << 20;

/** Sends one update to a webhook. Never throws. */
export async function postUpdate(
  webhook: Webhook,
  body: string,
  stopped: AbortSignal,
  timeoutMs: number,
): Promise<PostOutcome> {
  const started = performance.now();
  const ms = (): number => Math.round(performance.now() - started);
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (webhook.secretToken !== "") headers["x-telegram-bot-api-secret-token"] = webhook.secretToken;
  try {
    const response = await fetch(webhook.url, {
      method: "POST",
      headers,
      body,
      redirect: "manual",
      signal: AbortSignal.any([stopped, AbortSignal.timeout(timeoutMs)]),
    });
    const text = await readLimited(response);
    if (response.ok)
      return { kind: "accepted", status: response.status, ms: ms(), answer: parseAnswer(response, text) };
    return {
      kind: "failed",
      status: response.status,
      ms: ms(),
      error: `Wrong response from the webhook: ${response.status} ${response.statusText}`,
      retryAfterSeconds: parseRetryAfter(response.headers.get("retry-after")),
    };
  } catch (error) {
    return {
      kind: "failed",
      status: undefined,
      ms: ms(),
      error: describe(error),
      retryAfterSeconds: undefined,
    };
  }
}

async function readLimited(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.byteLength;
    // A webhook has nothing to say at this length; the rest is not read.
    if (size > ANSWER_LIMIT_BYTES) return "";
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parseAnswer(response: Response, text: string): Record<string, unknown> | undefined {
  if (!(response.headers.get("content-type") ?? "").includes("json")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Any 2xx settles the update, whatever its body says.
    return undefined;
  }
}

function describe(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") return "Read timeout expired";
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  switch (cause?.code) {
    case "ECONNREFUSED":
      return "Connection refused";
    case "ECONNRESET":
      return "Connection reset by peer";
    case "ENOTFOUND":
      return "Failed to resolve host: Name or service not known";
    default:
      return "Webhook connection closed";
  }
}
