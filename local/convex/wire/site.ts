import type { IncomingMessage, ServerResponse } from "node:http";
import type { FromRuntime } from "../runtime/protocol.ts";
import type { RuntimeThread } from "../runtimeThread.ts";
import { Exchange } from "./exchange.ts";

/** Convex's limit for the body of an HTTP action's request. */
const MAX_BODY_BYTES = 20 * 1024 * 1024;

type HttpMessage = Extract<FromRuntime, { kind: "httpHead" | "httpBody" | "httpEnd" }>;

/** The second port: every request goes to the HTTP action that `http.ts` routes it to. */
export class Site {
  readonly #runtime: RuntimeThread;
  readonly #siteUrl: () => string;
  readonly #open = new Map<number, ServerResponse>();

  constructor(runtime: RuntimeThread, siteUrl: () => string) {
    this.#runtime = runtime;
    this.#siteUrl = siteUrl;
    runtime.on("http", (message) => this.#receive(message));
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(request, response);
    let id = 0;
    try {
      const body = await exchange.body(MAX_BODY_BYTES);
      const method = request.method ?? "GET";
      const { matched } = await this.#runtime.request(
        "http",
        {
          method: method === "HEAD" ? "GET" : method,
          url: new URL(request.url ?? "/", this.#siteUrl()).href,
          headers: headerPairs(request),
          body: body.length === 0 || method === "GET" || method === "HEAD" ? null : body,
          request: exchange.info(),
        },
        (assigned) => {
          id = assigned;
          this.#open.set(id, response);
        },
      );
      if (!matched) {
        response.writeHead(404, { "content-type": "text/plain" });
        response.end("No matching routes found");
      }
    } catch (error) {
      exchange.fail(error);
    } finally {
      this.#open.delete(id);
    }
  }

  #receive(message: HttpMessage): void {
    const response = this.#open.get(message.id);
    if (response === undefined || response.destroyed) return;
    switch (message.kind) {
      case "httpHead":
        if (!response.headersSent)
          response.writeHead(
            message.status,
            message.headers.flatMap((pair) => [...pair]),
          );
        return;
      case "httpBody":
        response.write(message.chunk);
        return;
      case "httpEnd":
        response.end();
    }
  }
}

function headerPairs(request: IncomingMessage): [string, string][] {
  const pairs: [string, string][] = [];
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    // These describe the connection to this port, not the request.
    if (name === "connection" || name === "transfer-encoding" || name === "content-encoding") continue;
    for (const value of values ?? []) pairs.push([name, value]);
  }
  return pairs;
}
