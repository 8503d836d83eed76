import * as z from "zod";
import type { AppStore } from "../apps/appStore.ts";
import { parseGoDuration } from "../duration.ts";
import { FlyError, invalidArgument, parseInput } from "../errors.ts";
import { type Route, ok } from "../http/route.ts";
import type { TokenStore } from "./tokenStore.ts";

/** What Fly gives a deploy token that asks for no expiry: 20 years. */
export const DEFAULT_LIFE_MS = 20 * 365 * 24 * 3_600_000;

/** Milliseconds since the epoch at which a token with this Go-duration expiry ends. Errors name the field. */
export function expiryOf(expiry: string | null | undefined, nowMs: number): number {
  if (expiry === null || expiry === undefined || expiry === "") return nowMs + DEFAULT_LIFE_MS;
  const lifeMs = parseGoDuration(expiry);
  if (lifeMs === null || lifeMs <= 0) {
    throw invalidArgument(`expiry: '${expiry}' is not a positive Go duration such as 8760h0m0s`);
  }
  return nowMs + lifeMs;
}

const deployTokenBody = z.object({ expiry: z.string().optional() }).optional();

export function tokenRoutes(tokens: TokenStore, apps: AppStore, now: () => number): Route[] {
  return [
    {
      operation: "App_create_deploy_token",
      method: "POST",
      path: "/v1/apps/:app/deploy_token",
      access: "app",
      handle: (call) => {
        if (call.principal.kind !== "org") {
          throw new FlyError(403, "an app deploy token cannot create tokens; use an organization token");
        }
        const body = parseInput(deployTokenBody, call.body);
        const { token } = tokens.create({
          name: "flyctl deploy token",
          org: call.app.org,
          app: call.app.name,
          expiresAtMs: expiryOf(body?.expiry, now()),
        });
        return ok({ token });
      },
    },
    {
      operation: "CurrentToken_show",
      method: "GET",
      path: "/v1/tokens/current",
      access: "token",
      handle: ({ principal }) => {
        const named = principal.kind === "app" ? apps.find(principal.app) : null;
        return ok({
          tokens: [
            {
              token_id: principal.tokenId,
              org_slug: principal.org,
              organization: principal.org,
              user: principal.kind === "org" ? "local-operator" : "",
              ...(named === null ? {} : { apps: [named.name] }),
            },
          ],
        });
      },
    },
  ];
}
