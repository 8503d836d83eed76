/**
 * Client of the gateway's WebSocket protocol, version 4. Loopback only, one socket, requests by id.
 *
 * `agent` answers twice with the same id: first `accepted`, later the outcome. Everything else answers once. A gateway
 * that breaks the protocol is left at once: what else it says means nothing, and whoever waits would wait for nothing.
 */
import { Agent, WebSocket } from "undici";
import * as z from "zod";
import { parseAssistantText, parseFrame } from "./frames.ts";

export class GatewayRpcError extends Error {
  override name = "GatewayRpcError";
  readonly code: string;
  /** What happened, in our own words: the message may quote a provider, which may quote a person. */
  readonly summary: string;
  constructor(code: string, message: string, summary = message) {
    super(message);
    this.code = code;
    this.summary = summary;
  }
}

/** The gateway is not there (any more): the supervisor restarts it, the turn may be tried again. */
export class GatewayUnavailableError extends GatewayRpcError {
  override name = "GatewayUnavailableError";
  constructor(message: string, summary = message) {
    super("UNAVAILABLE", message, summary);
  }
}

interface Pending {
  method: string;
  finalOnly: boolean;
  resolve: (payload: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export interface RequestOptions {
  /** ms until the request is given up. */
  timeoutMs: number;
  /** Skip `accepted` and wait for the outcome. */
  finalOnly?: boolean;
}

const HANDSHAKE_TIMEOUT_MS = 15_000;
const PROTOCOL = 4;
/** Far beyond a page of a transcript or a model's answer, and bearable beside a gateway on a small machine. */
const FRAME_BYTES_MAX = 32 * 1024 * 1024;

const dispatcher = new Agent({ webSocket: { maxPayloadSize: FRAME_BYTES_MAX } });
const welcomeSchema = z.object({ type: z.literal("hello-ok") });

export class GatewayRpc {
  readonly #socket: WebSocket;
  readonly #pending = new Map<string, Pending>();
  readonly #textListeners = new Map<string, (text: string) => void>();
  #nextId = 1;
  #isClosed = false;
  readonly #closed = Promise.withResolvers<string>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("close", () => this.#end("The gateway closed the connection"));
    // A close event follows; without this listener an error event would reach nobody who can act on it.
    socket.addEventListener("error", () => socket.close());
  }

  /** Resolves with the reason when the gateway is not to be spoken to any more. */
  get closed(): Promise<string> {
    return this.#closed.promise;
  }

  /** Connects and authenticates. @throws {GatewayUnavailableError} when that does not succeed in time. */
  static async connect(port: number, token: string): Promise<GatewayRpc> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { dispatcher });
    const rpc = new GatewayRpc(socket);
    const challenged = new Promise<void>((resolve) => {
      socket.addEventListener("message", (event) => {
        if (rpc.#receive(event.data) === "connect.challenge") resolve();
      });
    });
    const timeout = AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS);
    try {
      await Promise.race([
        challenged,
        rpc.closed.then(() => unavailable("closed during the handshake")),
        aborted(timeout),
      ]);
      const welcome = await rpc.request(
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
      if (!welcomeSchema.safeParse(welcome).success) unavailable("did not welcome its client");
    } catch (error) {
      rpc.close();
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
    if (this.#isClosed) return Promise.reject(new GatewayUnavailableError("The gateway is not connected"));
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
    this.#end("The connection was given up");
  }

  /** @returns the name of an event. */
  #receive(data: unknown): string | null {
    if (this.#isClosed) return null;
    const frame = parseFrame(data);
    switch (frame?.kind) {
      case undefined:
        this.#end("The gateway sent something that is not of its protocol");
        return null;
      case "event": {
        const written = frame.event === "agent" ? parseAssistantText(frame.payload) : null;
        if (written !== null) this.#textListeners.get(written.runId)?.(written.text);
        return frame.event;
      }
      case "answer":
        this.#settle(frame.id, (pending) => {
          if (pending.finalOnly && statusOf(frame.payload) === "accepted") return false;
          pending.resolve(frame.payload);
          return true;
        });
        return null;
      case "refusal":
        this.#settle(frame.id, (pending) => {
          const message = `${pending.method}: ${frame.message}`;
          const summary = `${pending.method} was refused`;
          pending.reject(
            frame.code === "UNAVAILABLE"
              ? new GatewayUnavailableError(message, summary)
              : new GatewayRpcError(frame.code, message, summary),
          );
          return true;
        });
        return null;
      case "other":
        return null;
    }
  }

  /** An answer may come when its request was given up, but never to what was not asked: its question then waits. */
  #settle(id: string, settle: (pending: Pending) => boolean): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) {
      const wasAsked = /^[1-9]\d*$/.test(id) && Number(id) < this.#nextId;
      if (!wasAsked) this.#end("The gateway answered what it was not asked");
      return;
    }
    if (!settle(pending)) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
  }

  /** Whether the other side still obeys the protocol does not matter: nobody waits for its goodbye. */
  #end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#failAll(new GatewayUnavailableError(reason));
    this.#socket.close();
    this.#closed.resolve(reason);
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
