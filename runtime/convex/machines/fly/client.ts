/**
 * The Machines API over `fetch`: one function that talks, one error that says what happened. A GET is repeated
 * once after a network error, because it changes nothing; no other call is ever repeated here.
 */
import { DeadlineError, withinDeadline } from "../../deadline.ts";
import { classifyFailure, type ProviderExchange, type ProviderFailure } from "../../policy/providerErrors.ts";
import { clipText } from "../../policy/clipText.ts";

/** Longest part of an answer's body kept in an error, characters. */
const BODY_SHOWN_MAX = 1_000;
/** Longest answer that is read, bytes: far above a page of machines. */
const BODY_BYTES_MAX = 16 * 1_024 * 1_024;

export type HttpMethod = "GET" | "POST" | "DELETE";

/** A call that did not succeed. `failure` says what may be done about it. */
export class FlyApiError extends Error {
  override name = "FlyApiError";
  readonly failure: ProviderFailure;
  readonly status: number | null;

  constructor(method: HttpMethod, path: string, exchange: ProviderExchange) {
    const shown =
      exchange.type === "answer"
        ? clipText(exchange.body, BODY_SHOWN_MAX) || `HTTP ${exchange.status}`
        : exchange.type === "timeout"
          ? "no answer in time"
          : `no connection (${exchange.code ?? "network error"})`;
    super(`Fly API ${method} ${path} failed: ${shown}`);
    this.failure = classifyFailure(exchange);
    this.status = exchange.type === "answer" ? exchange.status : null;
  }
}

export interface FlyConnection {
  /** Base of the Machines API without /v1. */
  apiUrl: string;
  token: string;
}

export interface FlyAnswer {
  body: unknown;
  header(name: string): string | null;
}

/** `Bearer` for plain tokens; macaroons carry their own scheme and keep it. */
function authorization(token: string): string {
  const bare = token.trim().replace(/^Bearer\s+/i, "");
  if (/^FlyV1\s/i.test(bare)) return bare;
  return bare.startsWith("fm1") || bare.startsWith("fm2") ? `FlyV1 ${bare}` : `Bearer ${bare}`;
}

function networkCode(error: unknown): string | null {
  for (
    let cause: unknown = error, depth = 0;
    cause instanceof Error && depth < 4;
    cause = cause.cause, depth++
  ) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code === "string") return code;
  }
  return null;
}

async function exchangeOnce(
  connection: FlyConnection,
  method: HttpMethod,
  path: string,
  body: unknown,
  timeoutMs: number,
): Promise<{ exchange: ProviderExchange; answer: FlyAnswer | null }> {
  const talk = async (signal: AbortSignal): Promise<{ response: Response; text: string }> => {
    const response = await fetch(`${connection.apiUrl.replace(/\/+$/, "")}/v1${path}`, {
      method,
      headers: {
        authorization: authorization(connection.token),
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal,
      // A redirect would carry the token to wherever it points.
      redirect: "error",
    });
    const text = await response.text();
    if (text.length > BODY_BYTES_MAX) throw new Error("answer too large");
    return { response, text };
  };
  try {
    const { response, text } = await withinDeadline(timeoutMs, talk);
    const exchange: ProviderExchange = {
      type: "answer",
      status: response.status,
      body: text,
      retryAfter: response.headers.get("retry-after"),
    };
    if (!response.ok) return { exchange, answer: null };
    const header = (name: string): string | null => response.headers.get(name);
    return { exchange, answer: { body: text === "" ? null : (JSON.parse(text) as unknown), header } };
  } catch (error) {
    const exchange: ProviderExchange =
      error instanceof DeadlineError ? { type: "timeout" } : { type: "network", code: networkCode(error) };
    return { exchange, answer: null };
  }
}

/**
 * One call of the Machines API.
 *
 * @param path below /v1, starting with a slash.
 * @param timeoutMs per attempt.
 * @throws {FlyApiError}
 */
export async function callFly(
  connection: FlyConnection,
  method: HttpMethod,
  path: string,
  options: { body?: unknown; timeoutMs: number },
): Promise<FlyAnswer> {
  const attempts = method === "GET" ? 2 : 1;
  let last: ProviderExchange = { type: "network", code: null };
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const { exchange, answer } = await exchangeOnce(
      connection,
      method,
      path,
      options.body,
      options.timeoutMs,
    );
    if (answer !== null) return answer;
    last = exchange;
    if (exchange.type !== "network") break;
  }
  throw new FlyApiError(method, path, last);
}

export const isNotFound = (error: unknown): boolean =>
  error instanceof FlyApiError && error.failure.kind === "not_found";
