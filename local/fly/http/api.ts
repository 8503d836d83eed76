import { type Context, Hono } from "hono";
import type { AppStore } from "../apps/appStore.ts";
import { FlyError, notFound } from "../errors.ts";
import type { Principal, TokenStore } from "../tokens/tokenStore.ts";
import type { Env, Gateway, Passage } from "./gateway.ts";
import { RateLimiter } from "./rateLimit.ts";
import { readJson } from "./requestBody.ts";
import type { Answer, Call, Route } from "./route.ts";

/** Config files travel inside the machine config, so bodies may be some megabytes. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;

export interface ApiParts {
  apps: AppStore;
  tokens: TokenStore;
  gateway: Gateway;
  rateLimit: boolean;
  now: () => number;
  log: (line: string) => void;
}

/** Mounts the routes: gateway → token → app → permission → rate limit → body → handler, in this order. */
export function mountApi(routes: readonly Route[], parts: ApiParts): Hono<Env> {
  const api = new Hono<Env>();
  const limiter = new RateLimiter();
  for (const route of routes) {
    api.on(route.method, route.path, (context) =>
      parts.gateway.pass(context, route.operation, context.req.param("app"), async (passage) => {
        try {
          return toResponse(await answer(route, context, passage, limiter, parts));
        } catch (error) {
          return toResponse(failure(error, route.operation, parts.log));
        }
      }),
    );
  }
  api.all("/v1/*", (context) =>
    parts.gateway.pass(context, "unknown", undefined, () => {
      const error = `this emulator does not serve ${context.req.method} ${context.req.path}`;
      return Promise.resolve(toResponse({ status: 501, body: { error } }));
    }),
  );
  return api;
}

async function answer(
  route: Route,
  context: Context<Env>,
  passage: Passage,
  limiter: RateLimiter,
  parts: ApiParts,
): Promise<Answer> {
  const principal = authenticate(context.req.header("authorization"), parts.tokens);
  const params = context.req.param() as Record<string, string>;
  const query = new URL(context.req.url).searchParams;
  const identifier = params["machine"] ?? params["app"] ?? principal.org;

  const guarded = async (): Promise<Call> => {
    if (parts.rateLimit && !limiter.allow(route.operation, identifier, parts.now())) {
      throw new FlyError(429, "rate limit exceeded");
    }
    const body = await readJson(context.req.raw, BODY_BYTES_MAX);
    const { headers, signal: abandoned } = context.req.raw;
    return { principal, params, query, headers, body, abandoned, emptyPage: passage.emptyPage };
  };

  if (route.access === "app") {
    const app = parts.apps.find(params["app"] ?? "");
    if (app === null) throw notFound("App not found");
    const covered = principal.kind === "app" ? principal.app === app.name : principal.org === app.org;
    if (!covered) throw new FlyError(403, "token is not authorized for this app");
    return await route.handle({ ...(await guarded()), app });
  }
  if (route.access === "org" && principal.kind !== "org") {
    throw new FlyError(403, "an app token cannot do this; use an organization token");
  }
  return await route.handle(await guarded());
}

/** The caller's principal; 401 without a token that is known, unrevoked and unexpired. */
export function authenticate(header: string | undefined, tokens: TokenStore): Principal {
  if (header === undefined || !/^(?:Bearer|FlyV1)\s+\S/i.test(header)) {
    throw new FlyError(401, "authentication required: send Authorization: Bearer <token>");
  }
  const principal = tokens.authenticate(header);
  if (principal === null)
    throw new FlyError(401, "token validation error: unknown, revoked or expired token");
  return principal;
}

function failure(error: unknown, operation: string, log: (line: string) => void): Answer {
  if (error instanceof FlyError) return { status: error.status, body: error.body() };
  log(`${operation} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return { status: 500, body: { error: "internal error of the emulator; see its log" } };
}

function toResponse(result: Answer): Response {
  const headers = new Headers(result.headers);
  if (result.body === undefined) return new Response(null, { status: result.status, headers });
  headers.set("content-type", "application/json; charset=utf-8");
  return new Response(JSON.stringify(result.body), { status: result.status, headers });
}
