import type { MessagePort } from "node:worker_threads";
import type { Completions } from "./completions.ts";
import type { Executor } from "./executor.ts";
import type { Failure } from "./outcome.ts";
import type { FromRuntime, HttpRequestData } from "./protocol.ts";

const now = Date.now.bind(Date);

/**
 * Runs the HTTP action that a request is routed to. The response travels as messages: head, body chunks, end.
 * @returns whether a route matched
 */
export async function serveHttp(
  executor: Executor,
  completions: Completions,
  port: MessagePort,
  id: number,
  data: HttpRequestData,
): Promise<{ matched: boolean }> {
  const send = (message: FromRuntime): void => port.postMessage(message);
  const url = new URL(data.url);
  const match = executor.generation.router?.lookup(url.pathname, data.method) ?? null;
  if (match === null) return { matched: false };
  const [endpoint, method, route] = match;
  const request = new Request(url, {
    method: data.method,
    headers: data.headers.map(([name, value]): [string, string] => [name, value]),
    ...(data.body === null ? {} : { body: new Uint8Array(data.body) }),
  });
  const invocation = {
    path: `http:${method} ${route}`,
    caller: { admin: false, identity: null },
    request: data.request,
  };
  const startedMs = now();
  const { outcome, failed, logs } = await executor.http(invocation, async () => {
    const response = await endpoint.invokeHttpAction(request);
    if (!(response instanceof Response)) throw new Error("The HTTP action did not return a Response.");
    const headers = [...response.headers].map(([name, value]): [string, string] => [name, value]);
    send({ kind: "httpHead", id, status: response.status, headers });
    for await (const chunk of response.body ?? []) send({ kind: "httpBody", id, chunk });
    return null;
  });
  const failure = failed ? (outcome as Failure) : null;
  if (failure !== null) {
    send({ kind: "httpHead", id, status: 500, headers: [["content-type", "application/json"]] });
    const body = JSON.stringify({
      code: "InternalServerError",
      message: failure.message,
      trace: failure.data,
    });
    send({ kind: "httpBody", id, chunk: Buffer.from(body) });
  }
  send({ kind: "httpEnd", id, error: failure?.message ?? null });
  const result =
    failure === null ? ({ ok: true, value: "null" } as const) : ({ ok: false, failure } as const);
  completions.report(
    "HttpAction",
    { ...invocation, path: `${method} ${route}` },
    { result, logs, transaction: null },
    startedMs,
  );
  return { matched: true };
}
