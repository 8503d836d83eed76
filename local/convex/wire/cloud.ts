import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod";
import { RequestError } from "../engine/errors.ts";
import type { RuntimeThread } from "../runtimeThread.ts";
import type { Authenticator } from "./auth.ts";
import { DeployRoutes } from "./deployRoutes.ts";
import { Exchange } from "./exchange.ts";
import { FUNCTION_ROUTES, serveFunction, serveTimestamp } from "./functionRoutes.ts";
import { LogStream } from "./logs.ts";
import { serveDownload, serveUpload } from "./storageRoutes.ts";

const MAX_ENVIRONMENT_BYTES = 4 * 1024 * 1024;

const environmentSchema = z.object({
  changes: z.array(z.object({ name: z.string(), value: z.string().nullable() })),
});

const ENVIRONMENT_ROUTES: ReadonlySet<string> = new Set([
  "/api/update_environment_variables",
  "/api/v1/update_environment_variables",
]);

export interface CloudOptions {
  readonly runtime: RuntimeThread;
  readonly authenticator: Authenticator;
  readonly state: string;
  readonly urls: () => { readonly cloudUrl: string; readonly siteUrl: string };
}

/** The first port: everything that the CLI and the clients call, except the sync socket. */
export class Cloud {
  readonly #options: CloudOptions;
  readonly #deploy: DeployRoutes;
  readonly #logs: LogStream;

  constructor(options: CloudOptions) {
    this.#options = options;
    const builtIn = (): Record<string, string> => {
      const { cloudUrl, siteUrl } = options.urls();
      return { CONVEX_CLOUD_URL: cloudUrl, CONVEX_SITE_URL: siteUrl };
    };
    this.#deploy = new DeployRoutes(options.runtime, options.authenticator, options.state, builtIn);
    this.#logs = new LogStream(options.runtime);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(request, response);
    try {
      await this.#route(exchange, request.method ?? "GET", exchange.url.pathname);
    } catch (error) {
      exchange.fail(error);
    }
  }

  async #route(exchange: Exchange, method: string, path: string): Promise<void> {
    const { runtime, authenticator, state } = this.#options;
    if (method === "OPTIONS") return exchange.sendPreflight();
    if (method === "POST") {
      const kind = FUNCTION_ROUTES[path];
      if (kind !== undefined) return await serveFunction(exchange, kind, runtime, authenticator);
      const deploy = this.#deploy.routes[path];
      if (deploy !== undefined) return await deploy(exchange);
      if (path === "/api/query_ts") return await serveTimestamp(exchange, runtime);
      if (path === "/api/storage/upload") return await serveUpload(exchange, runtime, state);
      // The CLI's path and the documented platform API's: the same call.
      if (ENVIRONMENT_ROUTES.has(path)) return await this.#updateEnvironment(exchange);
    }
    if (method === "GET" || method === "HEAD") {
      if (path.startsWith("/api/storage/")) return await serveDownload(exchange, runtime, state);
      if (path === "/version" || path === "/instance_name" || path === "/")
        return this.#sendText(exchange, "local");
    }
    if (method === "GET") {
      const admin = this.#adminRoutes[path];
      if (admin !== undefined) {
        authenticator.requireAdmin(exchange.header("authorization"));
        return await admin(exchange);
      }
    }
    throw new RequestError(404, "NotFound", `The local Convex deployment does not serve ${method} ${path}.`);
  }

  readonly #adminRoutes: Readonly<Record<string, (exchange: Exchange) => Promise<void> | void>> = {
    "/api/stream_function_logs": (exchange) => this.#logs.serve(exchange),
    "/api/check_admin_key": (exchange) => exchange.sendJson({ success: true }),
    "/api/v1/get_canonical_urls": (exchange) => {
      const { cloudUrl, siteUrl } = this.#options.urls();
      exchange.sendJson({ convexCloudUrl: cloudUrl, convexSiteUrl: siteUrl });
    },
    "/api/v1/list_environment_variables": async (exchange) =>
      exchange.sendJson({
        environmentVariables: await this.#options.runtime.request("readEnvironment", null),
      }),
    // Of this deployment only: what every function has read and written since the process began.
    "/api/local/function_metrics": async (exchange) =>
      exchange.sendJson({ functions: await this.#options.runtime.request("functionMetrics", null) }),
  };

  async #updateEnvironment(exchange: Exchange): Promise<void> {
    this.#options.authenticator.requireAdmin(exchange.header("authorization"));
    const { changes } = await exchange.json(environmentSchema, MAX_ENVIRONMENT_BYTES);
    await this.#options.runtime.request("environment", { changes });
    exchange.sendJson({});
  }

  #sendText(exchange: Exchange, text: string): void {
    exchange.response.writeHead(200, { "content-type": "text/plain" });
    exchange.response.end(text);
  }
}
