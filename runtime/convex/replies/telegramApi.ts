/**
 * One call of Telegram's Bot API, told apart into what the caller may conclude from it. The token is part of the URL,
 * so no URL and no raw error text ever leaves this file.
 */
import * as z from "zod";
import { readCappedText } from "./cappedBody.ts";
import { withinDeadline } from "../deadline.ts";
import { clipText } from "../policy/clipText.ts";

/** An answer echoes the message that was sent, at most a few dozen kB; more is not Telegram speaking. */
const RESPONSE_BYTES_MAX = 256 * 1_024;
const DESCRIPTION_UNITS_MAX = 300;

export type TelegramResult =
  | { kind: "ok"; result: unknown }
  | {
      kind: "refused";
      status: number;
      description: string;
      retryAfterS: number | null;
      migrateToChatId: string | null;
    }
  | { kind: "not_sent"; description: string }
  | { kind: "unknown"; description: string };

const answerSchema = z.object({
  ok: z.boolean(),
  result: z.unknown().optional(),
  error_code: z.number().optional(),
  description: z.string().optional(),
  parameters: z
    .object({
      retry_after: z.number().optional(),
      migrate_to_chat_id: z.union([z.number(), z.string()]).optional(),
    })
    .optional(),
});

export type TelegramCall = {
  /** Base URL of the Bot API, without a trailing slash. */
  apiUrl: string;
  token: string;
  method: string;
  /** JSON for most methods, a form when a file goes with it. */
  body: Record<string, unknown> | FormData;
  timeoutMs: number;
};

/** Calls the Bot API once, without any retry; never throws. */
export async function callTelegram(call: TelegramCall): Promise<TelegramResult> {
  const isForm = call.body instanceof FormData;
  try {
    const { status, text } = await withinDeadline(call.timeoutMs, async (signal) => {
      const response = await fetch(`${call.apiUrl.replace(/\/+$/, "")}/bot${call.token}/${call.method}`, {
        method: "POST",
        redirect: "manual",
        signal,
        ...(isForm ? {} : { headers: { "Content-Type": "application/json" } }),
        body: isForm ? (call.body as FormData) : JSON.stringify(call.body),
      });
      return { status: response.status, text: await readCappedText(response.body, RESPONSE_BYTES_MAX) };
    });
    return interpret(status, text, call.token);
  } catch (error) {
    return interpretFailure(error, call);
  }
}

function interpret(status: number, text: string | null, token: string): TelegramResult {
  const parsed = answerSchema.safeParse(parseJson(text));
  const answer = parsed.success ? parsed.data : null;
  const description = clean(answer?.description ?? `HTTP ${status}`, token);
  if (status >= 200 && status < 300) {
    return answer?.ok === true
      ? { kind: "ok", result: answer.result }
      : { kind: "unknown", description: `Telegram answered ${status} without a valid result` };
  }
  // Telegram's own 5xx says nothing about whether the call was carried out.
  if (status >= 500) return { kind: "unknown", description };
  const migrate = answer?.parameters?.migrate_to_chat_id;
  return {
    kind: "refused",
    status,
    description,
    retryAfterS: answer?.parameters?.retry_after ?? null,
    migrateToChatId: migrate === undefined ? null : String(migrate),
  };
}

function parseJson(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Failures that happen before any byte of the request is on its way. Every other one may have been carried out. */
const NEVER_LEFT =
  /ECONNREFUSED|connection refused|ENOTFOUND|EAI_AGAIN|dns error|name resolution|not resolve/i;

function interpretFailure(error: unknown, call: TelegramCall): TelegramResult {
  if (error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError")) {
    return { kind: "unknown", description: `no answer from Telegram within ${call.timeoutMs} ms` };
  }
  const words = describeChain(error);
  if (NEVER_LEFT.test(words)) return { kind: "not_sent", description: "Telegram's API cannot be reached" };
  return { kind: "unknown", description: "the connection to Telegram broke" };
}

/** Message and code of an error and its causes, for classification only. */
function describeChain(error: unknown): string {
  const words: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 4 && current instanceof Error; depth += 1) {
    const code = "code" in current ? String(current.code) : "";
    words.push(current.message, code);
    current = current.cause;
  }
  return words.join(" ");
}

function clean(text: string, token: string): string {
  return clipText(text.replaceAll(token, "<token>"), DESCRIPTION_UNITS_MAX);
}
