/** A consumer app's raw calls of the API, as they go over the wire. */
import type { Backend } from "../deployment/backend.ts";

export interface ApiAnswer {
  status: number;
  text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON from the wire, probed field by field in assertions
  json: any;
}

export interface KeyOptions {
  scopes?: readonly string[];
  agentKeys?: readonly string[];
}

/** A service key of the company, with no limit that a test would meet. */
export async function makeKey(
  backend: Backend,
  companyId: string,
  options: KeyOptions = {},
): Promise<string> {
  const args = { name: "app", companyId, requestsPerMinute: 60_000, ...options };
  return (await backend.call("action", "factory:createServiceKey", args)).value.serviceKey as string;
}

/** One call below `/agent-factory/v1`. */
export async function callApi(
  siteUrl: string,
  key: string | null,
  method: string,
  path: string,
  body?: unknown,
): Promise<ApiAnswer> {
  const response = await fetch(`${siteUrl}/agent-factory/v1${path}`, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) };
}
