/** Calls to the consumer API in memory, with keys of several companies. */
import { internal } from "../_generated/api.js";
import type { ApiScope } from "../api/tables.ts";
import type { World } from "./channels.fixture.ts";

export type ApiCall = {
  method?: string;
  path: string;
  key?: string | null;
  body?: unknown;
  headers?: Record<string, string>;
};

// oxlint-disable-next-line typescript/no-explicit-any -- JSON from the wire, probed field by field in assertions
export type ApiAnswer = { status: number; headers: Headers; text: string; json: any };

export async function makeKey(
  t: World,
  companyId: string,
  more: { scopes?: ApiScope[]; agentKeys?: string[]; requestsPerMinute?: number; expiresAt?: number } = {},
): Promise<{ keyId: string; serviceKey: string }> {
  return await t.action(internal.api.keys.createServiceKey, {
    name: "app",
    companyId,
    requestsPerMinute: 60_000,
    ...more,
  });
}

/** One call; a body that is a string is sent as it is. */
export async function callApi(
  t: World,
  { method = "GET", path, key, body, headers = {} }: ApiCall,
): Promise<ApiAnswer> {
  const response = await t.fetch(`/agent-factory/v1${path}`, {
    method,
    headers: {
      ...(key === undefined || key === null ? {} : { Authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}
