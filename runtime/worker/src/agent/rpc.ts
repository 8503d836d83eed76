/**
 * Client of the gateway's WebSocket protocol, version 4. Loopback only, one socket, requests by id.
 *
 * `agent` answers twice with the same id: first `accepted`, later the outcome. Everything else answers once.
 */

export class GatewayRpcError extends Error {
  override name = "GatewayRpcError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The gateway is not there (any more): the supervisor restarts it, the turn may be tried again. */
export class GatewayUnavailableError extends GatewayRpcError {
  override name = "GatewayUnavailableError";
  constructor(message: string) {
    super("UNAVAILABLE", message);
  }
}

interface Pending {
  method: string;
  finalOnly: boolean;
  resolve: (payload: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

interface Frame {
  type?: unknown;
  id?: unknown;
  ok?: unknown;
  payload?: unknown;
  error?: unknown;
  event?: unknown;
}

export interface RequestOptions {
  /** ms until the request is given up. */
  timeoutMs: number;
  /** Skip `accepted` and wait for the outcome. */
  finalOnly?: boolean;
}

const HANDSHAKE_TIMEOUT_MS = 15_000;
const PROTOCOL = 4;

export class GatewayRpc {
  readonly #socket: WebSocket;
  readonly #pending = new Map<string, Pending>();
  readonly #textListeners = new Map<string, (text: string) => void>();
  #nextId = 1;
  #closed = false;
  /** Resolves when the socket is gone, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", () => {
        this.#closed = true;
        this.#failAll(new GatewayUnavailableError("The gateway closed the connection"));
        resolve();
      });
    });
    // A close event follows; without this listener an error event would reach nobody who can act on it.
    socket.addEventListener("error", () => socket.close());
  }

  /** Connects and authenticates. @throws {GatewayUnavailableError} when that does not succeed in time. */
  static async connect(port: number, token: string): Promise<GatewayRpc> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const rpc = new GatewayRpc(socket);
    const challenged = new Promise<void>((resolve) => {
      socket.addEventListener("message", (event) => {
        if (rpc.#receive(String(event.data)) === "connect.challenge") resolve();
      });
    });
    const timeout = AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS);
    try {
      await Promise.race([
        challenged,
        rpc.closed.then(() => unavailable("closed during the handshake")),
        aborted(timeout),
      ]);
      await rpc.request(
        "connect",
        {
          minProtocol: PROTOCOL,
          maxProtocol: PROTOCOL,
          client: { id: "gateway-client", version: "1.0.0", platform: "linux", mode: "backend" },
          role: "operator",
          scopes: ["operator.read", "operator.write", "operator.admin"],
          caps: ["tool-events"],
          auth: { token },
        },
        { timeoutMs: HANDSHAKE_TIMEOUT_MS },
      );
    } catch (error) {
      socket.close();
      throw error;
    }
    return rpc;
  }

  /**
   * Sends one request.
   *
   * @throws {GatewayRpcError} with the gateway's own code when it refuses.
   * @throws {GatewayUnavailableError} when the socket closes or nothing answers in time.
   */
  request(method: string, params: unknown, options: RequestOptions): Promise<unknown> {
    if (this.#closed) return Promise.reject(new GatewayUnavailableError("The gateway is not connected"));
    const id = String(this.#nextId++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(
          new GatewayUnavailableError(`The gateway did not answer ${method} within ${options.timeoutMs} ms`),
        );
      }, options.timeoutMs);
      this.#pending.set(id, { method, finalOnly: options.finalOnly ?? false, resolve, reject, timer });
      this.#socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  }

  /** Tells what a run has written so far, each time from its beginning. @returns the way to stop. */
  onAssistantText(runId: string, listener: (text: string) => void): () => void {
    this.#textListeners.set(runId, listener);
    return () => void this.#textListeners.delete(runId);
  }

  close(): void {
    this.#socket.close();
  }

  #receive(data: string): string | null {
    let frame: Frame;
    try {
      frame = JSON.parse(data) as Frame;
    } catch {
      // Garbage from the gateway: what waits must not wait for an answer that was in it.
      this.#failAll(new GatewayUnavailableError("The gateway sent something that is not JSON"));
      this.#socket.close();
      return null;
    }
    if (frame.type === "event" && frame.event === "agent") this.#tellText(frame.payload);
    if (frame.type === "event") return typeof frame.event === "string" ? frame.event : null;
    if (frame.type === "res" && typeof frame.id === "string") this.#settle(frame.id, frame);
    return null;
  }

  #tellText(payload: unknown): void {
    const event = payload as { runId?: unknown; stream?: unknown; data?: { text?: unknown } } | undefined;
    if (event?.stream !== "assistant" || typeof event.runId !== "string") return;
    const text = event.data?.text;
    if (typeof text === "string") this.#textListeners.get(event.runId)?.(text);
  }

  #settle(id: string, frame: Frame): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    if (pending.finalOnly && frame.ok === true && statusOf(frame.payload) === "accepted") return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (frame.ok === true) pending.resolve(frame.payload);
    else pending.reject(toError(pending.method, frame.error ?? frame.payload));
  }

  #failAll(error: Error): void {
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.#pending.clear();
  }
}

function statusOf(payload: unknown): unknown {
  return typeof payload === "object" && payload !== null && "status" in payload ? payload.status : undefined;
}

function toError(method: string, raw: unknown): GatewayRpcError {
  const shape = (typeof raw === "object" && raw !== null ? raw : {}) as { code?: unknown; message?: unknown };
  const code = typeof shape.code === "string" ? shape.code : "UNKNOWN";
  const message = `${method}: ${typeof shape.message === "string" ? shape.message : "refused without a reason"}`;
  return code === "UNAVAILABLE" ? new GatewayUnavailableError(message) : new GatewayRpcError(code, message);
}

function unavailable(what: string): never {
  throw new GatewayUnavailableError(`The gateway ${what}`);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () =>
      reject(new GatewayUnavailableError("The gateway did not greet in time")),
    );
  });
}
