/** A relay between a provider and the services it calls, which fails the k-th call in a chosen way. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { request } from "undici";

/**
 * reset: the connection breaks before anything is done. error: 500, nothing done, the request quoted in the answer.
 * lost: done, and no answer. errorAfter: done, and a gateway answers 502. busy: 429, nothing done.
 */
export const FAULTS = ["reset", "error", "lost", "errorAfter", "busy"] as const;
export type Fault = (typeof FAULTS)[number];

/** Headers that belong to one hop. */
const HOP = new Set(["host", "connection", "content-length", "transfer-encoding", "keep-alive", "expect"]);

export class FaultRelay {
  /** `METHOD path` of every call since `arm` or `rest`. */
  calls: string[] = [];
  readonly #server: Server;
  readonly #upstreams: string[] = [];
  #armed: { nth: number; fault: Fault } | null = null;

  private constructor() {
    this.#server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));
  }

  static async start(): Promise<FaultRelay> {
    const relay = new FaultRelay();
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  /** URL under which `upstream` is reached through the relay. */
  front(upstream: string): string {
    this.#upstreams.push(upstream.replace(/\/$/, ""));
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/${this.#upstreams.length - 1}`;
  }

  /** Fails the `nth` call from now on, counted from 1 over all upstreams. */
  arm(nth: number, fault: Fault): void {
    this.calls = [];
    this.#armed = { nth, fault };
  }

  /** Lets everything pass, and counts anew. */
  rest(): void {
    this.calls = [];
    this.#armed = null;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const [, index = "", path = ""] = /^\/(\d+)(.*)$/.exec(incoming.url ?? "") ?? [];
    this.calls.push(`${incoming.method} ${path.split("?")[0]}`);
    const fault = this.#armed?.nth === this.calls.length ? this.#armed.fault : null;
    const json = { "content-type": "application/json" };
    if (fault === "reset") return drop(incoming.socket);
    if (fault === "error") {
      const text = `cannot serve ${incoming.headers.authorization} ${body.toString()}`;
      outgoing.writeHead(500, json).end(JSON.stringify({ error: text, message: text }));
      return;
    }
    if (fault === "busy") {
      outgoing.writeHead(429, json).end('{"error":"rate limit exceeded"}');
      return;
    }
    const answer = await request(`${this.#upstreams[Number(index)]}${path}`, {
      method: incoming.method as "GET",
      headers: Object.fromEntries(
        Object.entries(incoming.headers).filter(([name, value]) => !HOP.has(name) && value !== undefined),
      ),
      body: body.length > 0 ? body : null,
    });
    const text = await answer.body.text();
    if (fault === "lost") return drop(incoming.socket);
    if (fault === "errorAfter") {
      outgoing.writeHead(502, { "content-type": "text/html" }).end("<h1>bad gateway</h1>");
      return;
    }
    const type = answer.headers["content-type"];
    outgoing
      .writeHead(answer.statusCode, type === undefined ? {} : { "content-type": String(type) })
      .end(text);
  }
}

function drop(socket: Socket): void {
  socket.resetAndDestroy();
}
