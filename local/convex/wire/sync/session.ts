import type { WebSocket } from "ws";
import { RequestError } from "../../engine/errors.ts";
import { logText } from "../../runtime/logText.ts";
import type { Caller, CallReply, RequestInfo } from "../../runtime/protocol.ts";
import type { RuntimeThread } from "../../runtimeThread.ts";
import { refuseToken, type Authenticator } from "../auth.ts";
import { encodeTs } from "../timestamps.ts";
import type { Hub, SharedQuery, Subscriber } from "./hub.ts";
import { clientMessageSchema, type AddQuery, type ClientMessage } from "./messages.ts";

const MAX_QUERIES = 1_000;
const MAX_ACTIONS = 256;
const MAX_QUEUED_MUTATIONS = 10_000;
/** A client that reads so slowly is disconnected; it reconnects and starts over. */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;
/** WebSocket close codes. */
const POLICY_VIOLATION = 1008;
const TRY_AGAIN_LATER = 1013;

interface Subscription {
  readonly add: AddQuery;
  query: SharedQuery;
  /** Version of the result that the client has; -1 before the first. */
  sent: number;
}

/** One sync socket: its query set, its identity, and the versions that the client has been brought to. */
export class Session implements Subscriber {
  readonly #socket: WebSocket;
  readonly #hub: Hub;
  readonly #runtime: RuntimeThread;
  readonly #authenticator: Authenticator;
  readonly #origin: Omit<RequestInfo, "id">;
  readonly #subscriptions = new Map<number, Subscription>();
  #caller: Caller = { admin: false, identity: null };
  #sessionId: string | null = null;
  /** What the client was last told. */
  #version = { querySet: 0, identity: 0, ts: 0n };
  /** What it has asked for since. */
  #wanted = { querySet: 0, identity: 0 };
  #removed: number[] = [];
  /** The client resolves a mutation when it sees a transition at least this late. */
  #awaitedTs: bigint | null = null;
  #mutations: Promise<unknown> = Promise.resolve();
  #queuedMutations = 0;
  #runningActions = 0;

  constructor(
    socket: WebSocket,
    hub: Hub,
    runtime: RuntimeThread,
    authenticator: Authenticator,
    origin: Omit<RequestInfo, "id">,
  ) {
    this.#socket = socket;
    this.#hub = hub;
    this.#runtime = runtime;
    this.#authenticator = authenticator;
    this.#origin = origin;
  }

  /** Handles one frame. A malformed one ends the session. */
  receive(text: string): void {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return this.#fatal("The message is not JSON.");
    }
    const parsed = clientMessageSchema.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      return this.#fatal(`Malformed message at ${issue?.path.join(".") || "its root"}: ${issue?.message}`);
    }
    this.#handle(parsed.data);
  }

  #handle(message: ClientMessage): void {
    switch (message.type) {
      case "Connect":
        this.#sessionId = message.sessionId;
        return;
      case "Authenticate":
        return this.#authenticate(message);
      case "ModifyQuerySet":
        return this.#modify(message);
      case "Mutation":
        return this.#queueMutation(message);
      case "Action":
        return this.#startAction(message);
      case "Event":
        return;
    }
  }

  close(): void {
    for (const { query } of this.#subscriptions.values()) this.#hub.unsubscribe(query, this);
    this.#subscriptions.clear();
  }

  #authenticate(message: Extract<ClientMessage, { type: "Authenticate" }>): void {
    if (message.baseVersion !== this.#wanted.identity)
      return this.#fatal("Authenticate has the wrong base version.");
    try {
      if (message.tokenType === "User") refuseToken();
      this.#caller =
        message.tokenType === "Admin"
          ? this.#authenticator.admin(message.value ?? "", message.impersonating)
          : { admin: false, identity: null };
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (message.tokenType === "Admin") return this.#fatal(error.message);
      const { baseVersion } = message;
      return this.#send(
        JSON.stringify({ type: "AuthError", error: error.message, baseVersion, authUpdateAttempted: true }),
      );
    }
    this.#wanted.identity = message.baseVersion + 1;
    for (const subscription of this.#subscriptions.values()) {
      this.#hub.unsubscribe(subscription.query, this);
      subscription.query = this.#subscribe(subscription.add);
      subscription.sent = -1;
    }
    this.#hub.notify(this);
  }

  #subscribe(add: AddQuery): SharedQuery {
    return this.#hub.subscribe(
      {
        path: add.udfPath,
        args: JSON.stringify(add.args),
        caller: this.#caller,
        journal: add.journal ?? null,
      },
      this,
    );
  }

  #modify(message: Extract<ClientMessage, { type: "ModifyQuerySet" }>): void {
    if (message.baseVersion !== this.#wanted.querySet)
      return this.#fatal("ModifyQuerySet has the wrong base version.");
    for (const modification of message.modifications) {
      const known = this.#subscriptions.get(modification.queryId);
      if (known !== undefined) {
        this.#hub.unsubscribe(known.query, this);
        this.#subscriptions.delete(modification.queryId);
      }
      if (modification.type === "Remove") this.#removed.push(modification.queryId);
      else
        this.#subscriptions.set(modification.queryId, {
          add: modification,
          query: this.#subscribe(modification),
          sent: -1,
        });
    }
    if (this.#subscriptions.size > MAX_QUERIES)
      return this.#fatal(`A client may subscribe to at most ${MAX_QUERIES} queries.`);
    this.#wanted.querySet = message.newVersion;
    this.#hub.notify(this);
  }

  /** Sends a transition if there is a timestamp at which every subscribed result holds and something to tell. */
  update(): void {
    let ts = this.#hub.latestTs;
    for (const { query } of this.#subscriptions.values()) {
      if (query.result === null) return;
      if (query.untilTs !== null && query.untilTs - 1n < ts) ts = query.untilTs - 1n;
    }
    for (const { query } of this.#subscriptions.values()) if (query.fromTs > ts) return;
    if (ts < this.#version.ts) return;
    const reachesAwaited = this.#awaitedTs !== null && ts >= this.#awaitedTs;
    const modifications = [
      ...this.#removed.map((queryId) => `{"type":"QueryRemoved","queryId":${queryId}}`),
      ...this.#changes(),
    ];
    const asked =
      this.#wanted.querySet !== this.#version.querySet || this.#wanted.identity !== this.#version.identity;
    if (modifications.length === 0 && !asked && !reachesAwaited) return;
    if (reachesAwaited) this.#awaitedTs = null;
    this.#removed = [];
    const end = { ...this.#wanted, ts };
    this.#send(
      `{"type":"Transition","startVersion":${versionText(this.#version)},"endVersion":${versionText(end)},"modifications":[${modifications.join(",")}]}`,
    );
    this.#version = end;
  }

  #changes(): string[] {
    const changes: string[] = [];
    for (const [queryId, subscription] of this.#subscriptions) {
      const { query, sent } = subscription;
      if (query.version === sent || query.result === null) continue;
      subscription.sent = query.version;
      const { reply, journal } = query.result;
      const rest = `"logLines":${logsText(reply)},"journal":${JSON.stringify(journal)}}`;
      changes.push(
        reply.ok
          ? `{"type":"QueryUpdated","queryId":${queryId},"value":${reply.value},${rest}`
          : `{"type":"QueryFailed","queryId":${queryId},"errorMessage":${JSON.stringify(reply.message)}${dataText(reply.data)},${rest}`,
      );
    }
    return changes;
  }

  /** Mutations of one client run in the order in which it sent them. */
  #queueMutation(message: Extract<ClientMessage, { type: "Mutation" | "Action" }>): void {
    if (this.#queuedMutations >= MAX_QUEUED_MUTATIONS) return this.#fatal("Too many mutations are waiting.");
    this.#queuedMutations += 1;
    this.#mutations = this.#mutations.then(async () => {
      const once =
        this.#sessionId === null ? undefined : { session: this.#sessionId, request: message.requestId };
      const reply = await this.#call("mutation", message, once);
      this.#queuedMutations -= 1;
      this.#respond("MutationResponse", message.requestId, reply);
      if (!reply.ok) return;
      const ts = BigInt(reply.ts);
      if (ts > this.#hub.latestTs) this.#hub.latestTs = ts;
      if (this.#awaitedTs === null || this.#awaitedTs < ts) this.#awaitedTs = ts;
      this.#hub.notify(this);
    });
  }

  #startAction(message: Extract<ClientMessage, { type: "Mutation" | "Action" }>): void {
    if (this.#runningActions >= MAX_ACTIONS) {
      const reply = failure(`A client may run at most ${MAX_ACTIONS} actions at once.`);
      return this.#respond("ActionResponse", message.requestId, reply);
    }
    this.#runningActions += 1;
    void this.#call("action", message).then((reply) => {
      this.#runningActions -= 1;
      this.#respond("ActionResponse", message.requestId, reply);
    });
  }

  async #call(
    kind: "mutation" | "action",
    message: Extract<ClientMessage, { type: "Mutation" | "Action" }>,
    once?: { session: string; request: number },
  ): Promise<CallReply> {
    const request = { ...this.#origin, id: `${this.#sessionId ?? "session"}:${message.requestId}` };
    const args = JSON.stringify(message.args);
    const body = { kind, path: message.udfPath, args, caller: this.#caller, request, ...(once && { once }) };
    try {
      return await this.#runtime.request("call", body);
    } catch (error) {
      return failure((error as Error).message);
    }
  }

  #respond(type: "MutationResponse" | "ActionResponse", requestId: number, reply: CallReply): void {
    const head = `{"type":"${type}","requestId":${requestId},"success":${reply.ok},"logLines":${logsText(reply)}`;
    if (!reply.ok)
      return this.#send(`${head},"result":${JSON.stringify(reply.message)}${dataText(reply.data)}}`);
    const ts = type === "MutationResponse" ? `,"ts":"${encodeTs(BigInt(reply.ts))}"` : "";
    this.#send(`${head},"result":${reply.value}${ts}}`);
  }

  #send(text: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.#socket.close(TRY_AGAIN_LATER, "TooSlow");
      return;
    }
    this.#socket.send(text);
  }

  #fatal(error: string): void {
    this.#send(JSON.stringify({ type: "FatalError", error }));
    this.#socket.close(POLICY_VIOLATION);
  }
}

function failure(message: string): CallReply {
  return { ok: false, message, data: null, logs: [], metrics: null };
}

function versionText(version: { querySet: number; identity: number; ts: bigint }): string {
  return `{"querySet":${version.querySet},"identity":${version.identity},"ts":"${encodeTs(version.ts)}"}`;
}

function logsText(reply: CallReply): string {
  return JSON.stringify(reply.logs.map(logText));
}

function dataText(data: string | null): string {
  return data === null ? "" : `,"errorData":${data}`;
}
