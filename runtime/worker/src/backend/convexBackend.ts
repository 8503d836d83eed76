/**
 * The backend over Convex: calls by HTTP, each with its own time limit (freshFetch.ts), and one WebSocket for the inbox.
 *
 * Calls do not share the socket on purpose: a socket that has gone silent delays nothing but wake-ups, and a call
 * that times out is a failed call instead of one that is sent much later on behalf of a lost lease.
 */
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { ConvexError } from "convex/values";
import type { Inbox, LeaseRef, WorkerCredential } from "../../../convex/validators.ts";
import { BackendError, type WorkerBackend } from "./backend.ts";
import { freshFetch } from "./freshFetch.ts";

export interface ConvexBackendOptions {
  /** Cloud URL of the deployment. */
  url: string;
  credential: WorkerCredential;
  /** ms; a call that takes longer counts as unknown. */
  callTimeoutMs: number;
}

type Args = Record<string, unknown>;

export function connectBackend(options: ConvexBackendOptions): WorkerBackend {
  const { credential } = options;
  const http = new ConvexHttpClient(options.url, { logger: false, fetch: freshFetch(options.callTimeoutMs) });

  // The shapes of arguments and results are enforced by the backend's validators and typed by WorkerBackend.
  const mutate = async <T>(name: string, args: Args): Promise<T> => {
    const reference = makeFunctionReference<"mutation", Args, T>(`worker:${name}`);
    const sent = { credential, ...unicode(args) };
    return await translated(() => http.mutation(reference, sent, { skipQueue: true }));
  };
  const ask = async <T>(name: string, args: Args): Promise<T> => {
    const reference = makeFunctionReference<"query", Args, T>(`worker:${name}`);
    return await translated(() => http.query(reference, { credential, ...args }));
  };

  const inbox = inboxSubscription(options.url, credential);
  return {
    claim: (claimKey) => mutate("claim", { claimKey }),
    getHydrationBundle: (lease, holds) =>
      ask("getHydrationBundle", { ...fence(lease), ...(holds === null ? {} : { holds }) }),
    heartbeat: (lease) => mutate("heartbeat", lease === null ? {} : fence(lease)),
    complete: ({ messageId, leaseId, answer, history, snapshotId, usage, timings }) =>
      mutate("complete", {
        messageId,
        leaseId,
        answer,
        history,
        ...(snapshotId === undefined ? {} : { snapshotId }),
        ...(usage === undefined ? {} : { usage }),
        ...(timings === undefined ? {} : { timings }),
      }),
    preview: (lease, text) => mutate("preview", { ...fence(lease), text }),
    fail: (lease, errorMessage, errorKind) => mutate("fail", { ...fence(lease), errorMessage, errorKind }),
    release: (lease, reason) => mutate("release", { ...fence(lease), reason }),
    controlState: () => ask("controlState", {}),
    ready: (report) => mutate("ready", { report }),
    stopped: (reason) => mutate("stopped", { reason }),
    prepareDataSnapshotUpload: (lease, files) =>
      mutate("prepareDataSnapshotUpload", { ...fence(lease), files }),
    finalizeDataSnapshotUpload: (lease, snapshotId, uploaded) =>
      mutate("finalizeDataSnapshotUpload", { ...fence(lease), snapshotId, uploaded }),
    failDataSnapshotUpload: (lease, snapshotId, errorMessage) =>
      mutate("failDataSnapshotUpload", { ...fence(lease), snapshotId, errorMessage }),
    prepareAnswerFiles: (lease, count) => mutate("prepareAnswerFiles", { ...fence(lease), count }),
    subscribeInbox: inbox.subscribe,
    reconnect: inbox.reconnect,
    close: inbox.close,
  };
}

/**
 * A backend refuses text that holds half of a surrogate pair, whatever call it is in; a model or a cut may leave one, and
 * nobody's answer is lost over it. Arguments are plain JSON.
 */
function unicode<T>(value: T): T {
  if (typeof value === "string") return value.toWellFormed() as T;
  if (Array.isArray(value)) return value.map(unicode) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unicode(item as unknown)])) as T;
}

function fence(lease: LeaseRef): Args {
  return { messageId: lease.messageId, leaseId: lease.leaseId };
}

/** One subscription that outlives its socket: `reconnect` swaps the client and subscribes again. */
function inboxSubscription(url: string, credential: WorkerCredential) {
  const reference = makeFunctionReference<"query", Args, Inbox>("worker:inbox");
  let client: ConvexClient | null = null;
  let listener: { onInbox: (inbox: Inbox) => void; onError: (error: Error) => void } | null = null;

  const open = (): void => {
    if (listener === null) return;
    const current = new ConvexClient(url, { logger: false, unsavedChangesWarning: false });
    const { onInbox, onError } = listener;
    // An old client may still deliver while it closes; only the current one may speak.
    current.onUpdate(
      reference,
      { credential },
      (value) => (client === current ? onInbox(value) : undefined),
      (error) => (client === current ? onError(toBackendError(error)) : undefined),
    );
    client = current;
  };
  const drop = async (): Promise<void> => {
    const old = client;
    client = null;
    await old?.close();
  };
  return {
    subscribe: (onInbox: (inbox: Inbox) => void, onError: (error: Error) => void) => {
      listener = { onInbox, onError };
      open();
      return () => {
        listener = null;
        void drop();
      };
    },
    reconnect: () => {
      void drop();
      open();
    },
    close: drop,
  };
}

async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toBackendError(error);
  }
}

/** Sorts what a call threw by what the caller may do about it. */
export function toBackendError(error: unknown): BackendError {
  if (error instanceof BackendError) return error;
  if (error instanceof ConvexError) {
    const data = error.data as { code?: unknown; kind?: unknown; message?: unknown } | null;
    const message = typeof data?.message === "string" ? data.message : "The backend refused the call";
    if (data?.code === "unauthorized") return new BackendError("unauthorized", message);
    const kind = data?.kind;
    return new BackendError(kind === "retryable" || kind === "unknown" ? kind : "permanent", message);
  }
  const message = error instanceof Error ? error.message : String(error);
  if (isRefusedConnection(error))
    return new BackendError("retryable", `The backend cannot be reached: ${message}`);
  return new BackendError("unknown", message);
}

/** True only when the request certainly never arrived. */
function isRefusedConnection(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined;
  return cause?.code === "ECONNREFUSED" || cause?.code === "ENOTFOUND" || cause?.code === "EAI_AGAIN";
}
