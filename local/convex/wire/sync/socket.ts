import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import type { RuntimeThread } from "../../runtimeThread.ts";
import type { Authenticator } from "../auth.ts";
import { Hub } from "./hub.ts";
import { Session } from "./session.ts";

const PATH = /^\/api\/[^/]+\/sync$/;
const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;
const GOING_AWAY = 1001;

/** The WebSocket endpoint `/api/<version>/sync` of ConvexClient. */
export class SyncServer {
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  readonly #hub: Hub;
  readonly #runtime: RuntimeThread;
  readonly #authenticator: Authenticator;
  readonly #pings: NodeJS.Timeout;
  readonly #alive = new WeakSet<WebSocket>();

  /** @param pingMs how often clients hear from the server; they give a silent one up after 60 s */
  constructor(runtime: RuntimeThread, authenticator: Authenticator, pingMs: number) {
    this.#runtime = runtime;
    this.#authenticator = authenticator;
    this.#hub = new Hub(runtime);
    this.#pings = setInterval(() => this.#ping(), pingMs);
    this.#pings.unref();
  }

  /** Learns the timestamp that the deployment had when it started. */
  async start(): Promise<void> {
    const ts = BigInt(await this.#runtime.request("timestamp", null));
    if (ts > this.#hub.latestTs) this.#hub.latestTs = ts;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (!PATH.test(new URL(request.url ?? "/", "http://localhost").pathname)) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (connection) => this.#open(connection, request));
  }

  #open(connection: WebSocket, request: IncomingMessage): void {
    const session = new Session(connection, this.#hub, this.#runtime, this.#authenticator, {
      ip: request.socket.remoteAddress ?? null,
      userAgent: request.headers["user-agent"] ?? null,
      scheduledFunctionId: null,
    });
    this.#alive.add(connection);
    connection.on("message", (data: Buffer) => {
      this.#alive.add(connection);
      session.receive(data.toString("utf8"));
    });
    connection.on("pong", () => this.#alive.add(connection));
    connection.on("close", () => session.close());
    connection.on("error", (error) => process.stderr.write(`sync socket: ${error.message}\n`));
  }

  /** A peer that answered neither the last ping nor anything else is gone. */
  #ping(): void {
    for (const connection of this.#server.clients) {
      if (!this.#alive.has(connection)) {
        connection.terminate();
        continue;
      }
      this.#alive.delete(connection);
      connection.ping();
      connection.send('{"type":"Ping"}');
    }
  }

  close(): void {
    clearInterval(this.#pings);
    for (const connection of this.#server.clients) connection.close(GOING_AWAY);
    for (const connection of this.#server.clients) connection.terminate();
    this.#server.close();
  }
}
