import type { App } from "../apps/appStore.ts";
import type { Principal } from "../tokens/tokenStore.ts";

/** One authenticated, permitted request with its JSON already parsed (undefined = no body). */
export interface Call {
  principal: Principal;
  params: Record<string, string>;
  query: URLSearchParams;
  headers: Headers;
  body: unknown;
  /** Fires when the client went away: long waits end with it. */
  abandoned: AbortSignal;
  /** An injected fault asks the list handler for an empty page. */
  emptyPage: boolean;
}

/** A call to a path under an app that exists and that the token covers. */
export interface AppCall extends Call {
  app: App;
}

export interface Answer {
  status: number;
  /** JSON; undefined = empty body. */
  body?: unknown;
  headers?: Record<string, string>;
}

interface RouteBase {
  /** operationId of the OpenAPI document; the key of rate limits, faults and call counts. */
  operation: string;
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Hono path; `:app` and `:machine` are meaningful to the pipeline. */
  path: string;
}

/**
 * Who may call (`access`): `org` = an organization's own token; `app` = that, or a token of the app in the path;
 * `token` = any valid token.
 */
export type Route =
  | (RouteBase & { access: "org" | "token"; handle: (call: Call) => Answer | Promise<Answer> })
  | (RouteBase & { access: "app"; handle: (call: AppCall) => Answer | Promise<Answer> });

export const ok = (body?: unknown, headers?: Record<string, string>): Answer => ({
  status: 200,
  body,
  headers,
});
