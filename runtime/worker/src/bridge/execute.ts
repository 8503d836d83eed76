/** One call of a bridge function. Never throws: an agent is told what went wrong and goes on. */
import type { BridgeRuntimeConfig } from "../../../convex/validators.ts";
import { pause } from "../pause.ts";
import { type ResolvedBridge, resolveBridgeRuntimeConfig } from "./config.ts";
import { bridgeFunctionKeyFromToolName } from "./toolNames.ts";

export interface BridgeCall {
  functionKey: string;
  args: unknown;
  /** Sent as `Authorization: Bearer`, only when a person's own token is at hand. */
  userToken?: string;
  /** Equal for every repetition of the same call, so that the app acts once. */
  idempotencyKey?: string;
  signal?: AbortSignal;
  /** ms per attempt. */
  timeoutMs?: number;
}

export interface BridgeResult {
  success: boolean;
  /** HTTP status; 0 when no answer arrived, 400 when the bridge is not configured. */
  status: number;
  functionKey: string;
  result?: unknown;
  error?: string;
}

export interface BridgeClock {
  fetch: typeof fetch;
  wait: (ms: number) => Promise<unknown>;
  now: () => number;
}

const ATTEMPTS_MAX = 3;
const BASE_DELAY_MS = 250;
/** A bridge may ask for a longer pause than a person would wait. */
const RETRY_AFTER_MAX_MS = 10_000;
const TIMEOUT_MS = 30_000;
/** Bytes of one answer; more would only fill the model's context. */
const ANSWER_BYTES_MAX = 1_000_000;

const systemClock: BridgeClock = { fetch: (...args) => fetch(...args), wait: pause, now: Date.now };

/** Posts the call; 429, 5xx and lost connections are tried again, three attempts in all. */
export async function executeBridgeFunction(
  config: ResolvedBridge,
  call: BridgeCall,
  clock: BridgeClock = systemClock,
): Promise<BridgeResult> {
  const { functionKey } = call;
  let last: BridgeResult = { success: false, status: 0, functionKey, error: "not tried" };
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    let retryAfterMs: number | null = null;
    try {
      const response = await post(config, call, clock);
      last = await read(response, functionKey);
      if (response.status !== 429 && response.status < 500) return last;
      retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), clock.now());
    } catch (error) {
      last = {
        success: false,
        status: 0,
        functionKey,
        error: `The bridge did not answer: ${reasonOf(error)}`,
      };
      if (call.signal?.aborted) return last;
    }
    if (attempt < ATTEMPTS_MAX) await clock.wait(retryAfterMs ?? BASE_DELAY_MS * 2 ** (attempt - 1));
  }
  return last;
}

export type BridgeToolOutcome = { handled: false } | ({ handled: true } & BridgeResult);

/**
 * Runs a tool call when it is a bridge's (`bridge.<key>`); leaves any other alone. A bridge that is not configured
 * is handled with status 400 and an error that names what is missing.
 */
export async function maybeExecuteBridgeToolCall(
  input: {
    toolName: string;
    args: unknown;
    hydrated?: Partial<BridgeRuntimeConfig> | null;
    env?: Readonly<Record<string, string | undefined>>;
  } & Omit<BridgeCall, "functionKey" | "args">,
  clock: BridgeClock = systemClock,
): Promise<BridgeToolOutcome> {
  const functionKey = bridgeFunctionKeyFromToolName(input.toolName);
  if (functionKey === null) return { handled: false };
  const resolution = resolveBridgeRuntimeConfig(input.hydrated, input.env ?? process.env);
  if (!resolution.ok)
    return { handled: true, success: false, status: 400, functionKey, error: resolution.error };
  const { userToken, idempotencyKey, signal, timeoutMs } = input;
  const call = { functionKey, args: input.args, userToken, idempotencyKey, signal, timeoutMs };
  return { handled: true, ...(await executeBridgeFunction(resolution.config, call, clock)) };
}

function post(config: ResolvedBridge, call: BridgeCall, clock: BridgeClock): Promise<Response> {
  const limit = AbortSignal.timeout(call.timeoutMs ?? TIMEOUT_MS);
  return clock.fetch(`${config.baseUrl}/agent/execute`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "X-Agent-Service-Id": config.serviceId,
      "X-Agent-Service-Key": config.serviceKey,
      "X-Agent-App": config.appKey,
      ...(call.userToken === undefined ? {} : { Authorization: `Bearer ${call.userToken}` }),
      ...(call.idempotencyKey === undefined ? {} : { "Idempotency-Key": call.idempotencyKey }),
    },
    body: JSON.stringify({ functionKey: call.functionKey, args: call.args ?? {} }),
    // The service key must not follow a redirect to somebody else.
    redirect: "error",
    signal: call.signal === undefined ? limit : AbortSignal.any([call.signal, limit]),
  });
}

async function read(response: Response, functionKey: string): Promise<BridgeResult> {
  const text = await boundedText(response);
  const body = parseJson(text);
  if (response.ok) {
    return { success: true, status: response.status, functionKey, result: body === undefined ? text : body };
  }
  const named = typeof body === "object" && body !== null ? (body as { error?: unknown }).error : undefined;
  const error = typeof named === "string" ? named : text.slice(0, 500) || `status ${response.status}`;
  return { success: false, status: response.status, functionKey, error };
}

async function boundedText(response: Response): Promise<string> {
  // TextDecoder rather than Buffer: these helpers are also exported to apps that run elsewhere than in Node.
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`its answer exceeds ${ANSWER_BYTES_MAX} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** undefined: not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // Plain text is an answer too.
  }
}

/** Seconds or an HTTP date. null when absent or malformed. */
function parseRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), RETRY_AFTER_MAX_MS);
}

/** Why a request failed, without its address or headers. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : error.name === "TypeError" ? "connection failed" : error.message;
}
