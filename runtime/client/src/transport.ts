/** One request of the API: sent, bounded, repeated where that is safe, and read. */
import { AgentFactoryError, errorOfAnswer, type Fate } from "./errors.ts";
import { decideRetry, parseRetryAfter, retryDefaults, type RetryOptions } from "./retry.ts";

/** What the client takes from its surroundings; tests pass their own. */
export interface Surroundings {
  fetch: typeof fetch;
  /** Waits; an abort ends the wait early, without an error. */
  wait: (ms: number, signal?: AbortSignal) => Promise<void>;
  now: () => number;
  random: () => number;
}

export interface TransportOptions {
  /** The deployment's site URL, for example `https://happy-otter-1.convex.site`. */
  siteUrl: string;
  /** `afk_…`: one company's key. It belongs on a server, never in a browser. */
  serviceKey: string;
  /** Time for one answer, ms; what a long poll waits is added. Default 15000. */
  timeoutMs?: number;
  retry?: Partial<RetryOptions>;
  surroundings?: Partial<Surroundings>;
}

/** The shape that every generated `…Data` type has. */
interface OperationData {
  url: string;
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  body?: unknown;
}

/** Of every request that the API accepts an Idempotency-Key for: sent twice with the same key, it acts once. */
export interface Keyed {
  /**
   * Your own id of this request, 1 to 128 printable ASCII characters, so that another process may send it again after a
   * crash. Default: a random one, which covers the client's own retries.
   */
  idempotencyKey?: string | undefined;
}

export type CallInput<D extends OperationData> = Pick<D, "path" | "query" | "body"> & {
  /** The operation takes an Idempotency-Key; without one of the caller's it gets a random one. */
  keyed?: Keyed;
  /** Whether it may be carried out twice. Default: true for all methods but POST, and with a key. */
  idempotent?: boolean;
  /** For a deletion: what it answers when a repetition finds nothing left, since the first sending did it. */
  whenGone?: unknown;
  signal?: AbortSignal;
};

export type Call = <D extends OperationData, R>(
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
  url: D["url"],
  input: CallInput<D>,
) => Promise<R>;

export interface Transport {
  call: Call;
  surroundings: Surroundings;
  retry: RetryOptions;
}

const API_PREFIX = "/agent-factory/v1";
const TIMEOUT_DEFAULT_MS = 15_000;
/** 200 messages of the longest text in its widest encoding stay below. */
const ANSWER_BYTES_MAX = 128 * 1_024 * 1_024;

function waitFor(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** @throws TypeError for a site URL or a key that cannot work. */
export function createTransport(options: TransportOptions): Transport {
  const { siteUrl, serviceKey, timeoutMs = TIMEOUT_DEFAULT_MS } = options;
  if (!/^https?:\/\//.test(siteUrl) || !URL.canParse(siteUrl)) {
    throw new TypeError("siteUrl must be the deployment's site URL, starting with https://");
  }
  if (!/^afk_[\x21-\x7e]+$/.test(serviceKey)) {
    throw new TypeError("serviceKey must be a service key of the deployment, starting with afk_");
  }
  const base = new URL(siteUrl).origin + API_PREFIX;
  const retry = { ...retryDefaults, ...options.retry };
  const surroundings: Surroundings = {
    fetch: (...args) => fetch(...args),
    wait: waitFor,
    now: Date.now,
    random: Math.random,
    ...options.surroundings,
  };

  const sendOnce = async (url: string, init: RequestInit, limitMs: number, fate: Fate): Promise<unknown> => {
    const caller = init.signal ?? undefined;
    const limit = AbortSignal.timeout(limitMs);
    const signal = caller === undefined ? limit : AbortSignal.any([caller, limit]);
    try {
      const response = await surroundings.fetch(url, { ...init, signal });
      const body = parseJson(await boundedText(response));
      if (response.ok && body !== undefined) return body;
      const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), surroundings.now());
      throw errorOfAnswer(response.status, body, retryAfterMs, fate);
    } catch (error) {
      caller?.throwIfAborted();
      if (error instanceof AgentFactoryError) throw error;
      const [code, what] = limit.aborted
        ? ["timeout", `did not answer within ${limitMs} ms`]
        : ["network", "could not be reached"];
      const message = `${new URL(url).host} ${what}`;
      const { mayRepeat: retryable, idempotencyKey } = fate;
      throw new AgentFactoryError({ code, message, status: 0, retryable, idempotencyKey, cause: error });
    }
  };

  const call = async <D extends OperationData, R>(
    method: string,
    url: string,
    input: CallInput<D>,
  ): Promise<R> => {
    const { body, signal, keyed } = input;
    const idempotencyKey = keyed === undefined ? null : (keyed.idempotencyKey ?? crypto.randomUUID());
    const idempotent = idempotencyKey !== null || (input.idempotent ?? method !== "POST");
    // Called once more, a method would draw another key: only the client itself, or who chose the key, may repeat.
    const mayRepeat = keyed === undefined ? idempotent : keyed.idempotencyKey !== undefined;
    const init: RequestInit = {
      method,
      // The key must not follow a redirect to somebody else.
      redirect: "error",
      headers: {
        authorization: `Bearer ${serviceKey}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(idempotencyKey === null ? {} : { "idempotency-key": idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    };
    const target = base + fillPath(url, input.path) + queryText(input.query);
    const limitMs = timeoutMs + Number(input.query?.["waitMs"] ?? 0);
    let perhapsDone = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await sendOnce(target, init, limitMs, { mayRepeat, idempotencyKey })) as R;
      } catch (error) {
        if (!(error instanceof AgentFactoryError)) throw error;
        if (input.whenGone !== undefined && perhapsDone && error.status === 404) return input.whenGone as R;
        perhapsDone ||= error.status === 0 || error.status >= 500;
        const decision = decideRetry(error, attempt, idempotent, retry, surroundings.random());
        if (!decision.again) throw error;
        await surroundings.wait(decision.delayMs, signal);
        signal?.throwIfAborted();
      }
    }
  };
  return { call, surroundings, retry };
}

function fillPath(url: string, path: Record<string, unknown> = {}): string {
  return url.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = path[name];
    // URL parsers would resolve these away, and the request would reach another operation.
    if (typeof value !== "string" || ["", ".", ".."].includes(value))
      throw new TypeError(`${name} must be an id`);
    return encodeURIComponent(value);
  });
}

function queryText(query: Record<string, unknown> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  if (given.length === 0) return "";
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()}`;
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
    bytes += part.value.length;
    if (bytes > ANSWER_BYTES_MAX) {
      await reader?.cancel();
      throw new AgentFactoryError({
        code: "malformed_answer",
        message: `The answer exceeds ${ANSWER_BYTES_MAX} bytes; ask for fewer rows with limit`,
        status: response.status,
        retryable: false,
      });
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

/** undefined: not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // A proxy's page, say: the caller tells by the status.
  }
}
