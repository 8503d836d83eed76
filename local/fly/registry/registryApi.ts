import { type Context, Hono } from "hono";
import type { App } from "../apps/appStore.ts";
import type { Env } from "../http/gateway.ts";
import type { Principal, TokenStore } from "../tokens/tokenStore.ts";
import { FlyError } from "../errors.ts";
import { blobRoutes } from "./blobRoutes.ts";
import { BlobTooLarge } from "./blobStore.ts";
import { manifestRoutes } from "./manifestRoutes.ts";
import { RegistryError, type RegistryParts } from "./registryRoute.ts";

/** The OCI distribution endpoints. A repository is an app: without the app there is none (404), as on Fly. */
export function mountRegistry(parts: RegistryParts): Hono<Env> {
  const registry = new Hono<Env>();
  registry.get("/v2/", (context) =>
    parts.gateway.pass(context, "registry.ping", undefined, () =>
      respond(parts, "registry.ping", () => {
        authenticate(context, parts.tokens);
        return Response.json({}, { headers: API_VERSION });
      }),
    ),
  );
  for (const route of [...blobRoutes(parts), ...manifestRoutes(parts)]) {
    // Hono serves HEAD through GET, so one mount covers both and the handler looks at the method.
    registry.on(route.method, route.path, (context) => {
      const repository = context.req.param("repository") ?? "";
      return parts.gateway.pass(context, route.operation, repository, () =>
        respond(parts, route.operation, async () => {
          const principal = authenticate(context, parts.tokens);
          const app = parts.apps.find(repository);
          if (app === null)
            throw new RegistryError(404, "NAME_UNKNOWN", `app repository not found: ${repository}`);
          if (!isCovered(principal, app)) {
            throw new RegistryError(403, "DENIED", `token does not cover app ${repository}`);
          }
          const covers = (name: string): boolean => isCovered(principal, parts.apps.find(name));
          const query = new URL(context.req.url).searchParams;
          const params = context.req.param() as Record<string, string>;
          return await route.handle({ context, repository, params, query, covers });
        }),
      );
    });
  }
  return registry;
}

const API_VERSION = { "docker-distribution-api-version": "registry/2.0" };

async function respond(
  parts: RegistryParts,
  operation: string,
  work: () => Response | Promise<Response>,
): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RegistryError) {
      const body = { errors: [{ code: error.code, message: error.message }] };
      return Response.json(body, { status: error.status, headers: { ...API_VERSION, ...error.headers } });
    }
    if (error instanceof BlobTooLarge || error instanceof FlyError) {
      return Response.json({ errors: [{ code: "SIZE_INVALID", message: error.message }] }, { status: 413 });
    }
    parts.log(
      `${operation} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    return Response.json({ errors: [{ code: "UNKNOWN", message: "internal error" }] }, { status: 500 });
  }
}

/** Basic with user `x` and the token as password; Bearer is not taken, since Fly's registry is not known to. */
function authenticate(context: Context<Env>, tokens: TokenStore): Principal {
  const header = context.req.header("authorization") ?? "";
  const [, encoded] = /^Basic\s+(\S+)$/i.exec(header) ?? [];
  const decoded = Buffer.from(encoded ?? "", "base64").toString("utf8");
  const password = decoded.slice(decoded.indexOf(":") + 1);
  const principal = encoded === undefined ? null : tokens.authenticate(password);
  if (principal !== null) return principal;
  throw new RegistryError(401, "UNAUTHORIZED", "authentication required", {
    "www-authenticate": 'Basic realm="registry"',
  });
}

function isCovered(principal: Principal, app: App | null): boolean {
  if (app === null) return false;
  return principal.kind === "app" ? principal.app === app.name : principal.org === app.org;
}
