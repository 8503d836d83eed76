/**
 * Calls of the backend's operator functions with the admin key, as `npx convex run factory:<name>` makes them.
 *
 * Names, arguments and results are the backend's own types. Their values are checked by the deployment itself
 * (every function declares `args` and `returns`), so that only the envelope is parsed here.
 */
import type { FunctionArgs, FunctionReturnType } from "convex/server";
import type { internal } from "../../runtime/convex/_generated/api.js";
import { CliError, exitCodes } from "../errors.ts";
import { parseAnswer } from "./answer.ts";
import { failureOf } from "./failure.ts";

type Operators = (typeof internal)["factory"];
export type OperatorFunction = keyof Operators;
export type Args<N extends OperatorFunction> = FunctionArgs<Operators[N]>;
export type Result<N extends OperatorFunction> = FunctionReturnType<Operators[N]>;

export interface Backend {
  /** @throws CliError with the function's own message. */
  run<N extends OperatorFunction>(
    name: N,
    args: Args<N>,
    options?: { timeoutMs?: number },
  ): Promise<Result<N>>;
}

/** Long enough for an action that asks Fly and Telegram. */
const TIMEOUT_MS = 60_000;
/** Convex's own limit of a result is 16 MiB. */
const BODY_BYTES_MAX = 20 * 1024 * 1024;

export interface BackendAccess {
  /** The deployment's URL, without a trailing slash. */
  url: string;
  adminKey: string;
}

export function backendAt({ url, adminKey }: BackendAccess): Backend {
  return {
    async run<N extends OperatorFunction>(
      name: N,
      args: Args<N>,
      options: { timeoutMs?: number } = {},
    ): Promise<Result<N>> {
      const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
      const body = JSON.stringify({ path: `factory:${name}`, args, format: "json" });
      const { status, text } = await post(`${url}/api/function`, adminKey, body, timeoutMs);
      const answer = parseAnswer(text);
      if (answer === null) {
        throw new CliError(
          exitCodes.failed,
          "unexpected_answer",
          `${url} answered factory:${name} with ${status} and no Convex result: is this the deployment's .convex.cloud URL?`,
        );
      }
      if ("status" in answer && answer.status === "success") return answer.value as Result<N>;
      throw failureOf(name, status, answer);
    },
  };
}

async function post(
  url: string,
  adminKey: string,
  body: string,
  timeoutMs: number,
): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Convex ${adminKey}`, "content-type": "application/json" },
      body,
      // A redirect would carry the key to another host.
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { status: response.status, text: await readText(response) };
  } catch (error) {
    throw connectionError(url, error, timeoutMs);
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX) throw new TypeError(`the answer is larger than ${BODY_BYTES_MAX} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Errors that mean that no request arrived. */
const NOT_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

function connectionError(url: string, error: unknown, timeoutMs: number): CliError {
  const { host } = new URL(url);
  if (error instanceof Error && error.name === "TimeoutError") {
    return new CliError(
      exitCodes.unknown,
      "timeout",
      `${host} did not answer within ${timeoutMs / 1_000} s: it may have been done all the same.`,
      "Look at the state before you repeat the command.",
    );
  }
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (NOT_CONNECTED.has(code)) {
    return new CliError(
      exitCodes.unreachable,
      "unreachable",
      `${host} cannot be reached (${code}).`,
      "For the local environment: npm run local. Otherwise check --convex-url or --stack.",
    );
  }
  return new CliError(
    exitCodes.unknown,
    "connection_lost",
    `The connection to ${host} broke (${code || (error instanceof Error ? error.message : String(error))}): it may have been done all the same.`,
    "Look at the state before you repeat the command.",
  );
}
