/**
 * A backend for tests: the worker's contract in memory, with real HTTP for blobs. One process, one deployment; it
 * fences as the real one does.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type {
  Claim,
  Dedication,
  Destination,
  HydrationBundle,
  Inbox,
  LeaseRef,
  Profile,
  ReadyReport,
  SnapshotFile,
} from "../../convex/validators.ts";
import type { CompletedTurn, UploadedBlob, WorkerBackend } from "../src/backend/backend.ts";

type MessageId = Claim["messageId"];

const STOLEN = "stolen";

interface FakeMessage {
  id: MessageId;
  conversationId: string;
  text: string;
  status: "queued" | "processing" | "done" | "dead_letter";
  attempts: number;
  leaseId: string | null;
  notBefore: number;
  answer: CompletedTurn["answer"] | undefined;
  errors: string[];
}
interface FakeSnapshot {
  id: string;
  version: number;
  files: SnapshotFile[];
  ready: boolean;
  /** Committed by a complete: the one to restore is the latest of these. */
  current: boolean;
}
interface Blob {
  storageId: string;
  encoding: "zstd" | "identity";
}

export interface FakeDeployment {
  /** @param workerId tells workers apart where only one of them may claim. */
  backend(workerId?: string): WorkerBackend;
  /** The only worker that may claim; null: everybody. */
  claimant: string | null;
  /** What the backend does with a worker that died: its leases expire and their messages wait again. */
  expireLeases(): void;
  enqueue(conversationId: string, text: string): MessageId;
  message(id: MessageId): FakeMessage;
  /** Resolves when the message is done or dead. */
  finished(id: MessageId): Promise<FakeMessage>;
  profile: Profile;
  destination: Destination | null;
  inbox: Inbox;
  setInbox(change: Partial<Inbox>): void;
  /** Takes the lease away, as the backend does with one that expired. */
  steal(id: MessageId): void;
  /** Completed turns, in order. */
  answers: Array<{ messageId: MessageId; workerId: string }>;
  calls: string[];
  /** Texts shown while they were written, in order. */
  previews: string[];
  readyReports: ReadyReport[];
  stoppedReasons: string[];
  snapshotsOf(conversationId: string): FakeSnapshot[];
  blob(storageId: string): Buffer | undefined;
  /** What is stored under a hash of a conversation's manifest. */
  storedBlob(
    conversationId: string,
    sha256: string,
  ): { body: Buffer; encoding: Blob["encoding"] } | undefined;
  replaceBlob(storageId: string, body: Buffer): void;
  uploadedBytes: number;
  turnTimeoutMs: number;
  /** What the config says; only one conversation at a time is given out where it says so. */
  dedication: Dedication;
  heartbeatIntervalMs: number;
  bundleOverrides: Partial<HydrationBundle>;
  /** The next snapshot cannot be prepared: the turn fails after its model has answered. */
  failNextPrepare: boolean;
  /** Stores a file. Returns the URL that it can be fetched from. */
  publish(content: Buffer): Promise<string>;
  close(): Promise<void>;
}

export async function startFakeDeployment(): Promise<FakeDeployment> {
  const messages = new Map<MessageId, FakeMessage>();
  const snapshots = new Map<string, FakeSnapshot[]>();
  const history = new Map<string, HydrationBundle["history"]>();
  const blobs = new Map<string, Map<string, Blob>>();
  const storage = new Map<string, Buffer>();
  const claimKeys = new Map<string, Claim>();
  const listeners = new Set<(inbox: Inbox) => void>();
  const waiters = new Set<() => void>();
  let counter = 0;

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.method === "POST") {
        const storageId = `blob${++counter}`;
        const body = Buffer.concat(chunks);
        storage.set(storageId, body);
        deployment.uploadedBytes += body.length;
        response.end(JSON.stringify({ storageId }));
      } else {
        const body = storage.get(request.url?.slice(1) ?? "");
        response.statusCode = body === undefined ? 404 : 200;
        response.end(body);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const held = (lease: LeaseRef): FakeMessage | null => {
    const message = messages.get(lease.messageId);
    return message !== undefined && message.leaseId === lease.leaseId ? message : null;
  };
  const notify = (): void => {
    deployment.inbox = { ...deployment.inbox, wake: deployment.inbox.wake + 1 };
    for (const listener of listeners) listener(deployment.inbox);
  };
  const settle = (): void => {
    for (const waiter of waiters) waiter();
  };
  const snapshotsOf = (conversationId: string): FakeSnapshot[] => {
    const list = snapshots.get(conversationId) ?? [];
    snapshots.set(conversationId, list);
    return list;
  };
  const blobsOf = (conversationId: string): Map<string, Blob> => {
    const map = blobs.get(conversationId) ?? new Map<string, Blob>();
    blobs.set(conversationId, map);
    return map;
  };

  const backend = (workerId = "w-test-1"): WorkerBackend => {
    let listener: ((inbox: Inbox) => void) | null = null;
    const log = <T>(name: string, work: () => T): Promise<T> => {
      deployment.calls.push(name);
      return Promise.resolve().then(work);
    };
    return {
      claim: (claimKey) =>
        log("claim", () => {
          const repeated = claimKeys.get(claimKey);
          if (repeated !== undefined) return repeated;
          const processing = [...messages.values()].filter((m) => m.status === "processing");
          const busy = new Set(processing.map((m) => m.conversationId));
          // A stolen lease is another worker's: its turn is none of those that this one runs.
          const runs = processing.some((m) => m.leaseId !== STOLEN);
          if (deployment.dedication === "conversation" && runs) return null;
          const next = [...messages.values()].find(
            (m) => m.status === "queued" && !busy.has(m.conversationId) && m.notBefore <= Date.now(),
          );
          const mayClaim = deployment.claimant === null || deployment.claimant === workerId;
          if (next === undefined || !mayClaim) return null;
          next.status = "processing";
          next.attempts += 1;
          next.leaseId = `lease${++counter}`;
          const claim: Claim = {
            messageId: next.id,
            conversationId: next.conversationId,
            agentKey: deployment.profile.agentKey,
            leaseId: next.leaseId,
            leaseExpiresAt: Date.now() + 45_000,
            leaseMs: 45_000,
            heartbeatIntervalMs: deployment.heartbeatIntervalMs,
            turnTimeoutMs: deployment.turnTimeoutMs,
            dedication: deployment.dedication,
            attempt: next.attempts,
            maxAttempts: 5,
            payload: { provider: "telegram", providerUserId: "1", messageText: next.text },
          };
          claimKeys.set(claimKey, claim);
          return claim;
        }),
      getHydrationBundle: (lease, holds) =>
        log("getHydrationBundle", () => {
          const message = held(lease);
          if (message === null) return null;
          const latest = snapshotsOf(message.conversationId).findLast((snapshot) => snapshot.current);
          const holdsLatest = latest !== undefined && holds?.snapshotVersion === latest.version;
          const rows = history.get(message.conversationId) ?? [];
          return {
            messageId: message.id,
            conversationId: message.conversationId,
            agentKey: deployment.profile.agentKey,
            payload: { provider: "telegram", providerUserId: "1", messageText: message.text },
            destination: deployment.destination,
            profile: holds?.profileRevision === deployment.profile.revision ? null : deployment.profile,
            profileRevision: deployment.profile.revision,
            history: rows.slice(holds?.historyThrough ?? 0),
            historyThrough: rows.length,
            pendingToolCalls: [],
            telegramBotToken: null,
            telegramApiUrl: "http://127.0.0.1:9",
            typingIndicator: false,
            previewIntervalMs: null,
            bridgeRuntimeConfig: null,
            attachments: [],
            snapshotVersion: latest?.version ?? null,
            snapshot:
              latest === undefined || holdsLatest
                ? null
                : {
                    snapshotId: latest.id as never,
                    version: latest.version,
                    files: latest.files.map((file) => {
                      const blob = blobsOf(message.conversationId).get(file.sha256);
                      if (blob === undefined) throw new Error(`no blob for ${file.path}`);
                      return { ...file, encoding: blob.encoding, url: `${url}/${blob.storageId}` };
                    }),
                  },
            ...deployment.bundleOverrides,
          };
        }),
      heartbeat: (lease) => log("heartbeat", () => (lease === null ? true : held(lease) !== null)),
      complete: (turn) =>
        log("complete", () => {
          const message = held(turn);
          if (message === null) return false;
          Object.assign(message, { status: "done", leaseId: null, answer: turn.answer });
          deployment.answers.push({ messageId: message.id, workerId });
          const committed = snapshotsOf(message.conversationId).find(
            (snapshot) => snapshot.id === turn.snapshotId,
          );
          if (committed !== undefined) committed.current = true;
          const rows = history.get(message.conversationId) ?? [];
          rows.push(...turn.history.map(({ role, content }) => ({ role, content, at: Date.now() })));
          history.set(message.conversationId, rows);
          settle();
          notify();
          return true;
        }),
      preview: (lease, text) =>
        log("preview", () => {
          if (held(lease) === null) return false;
          deployment.previews.push(text);
          return true;
        }),
      fail: (lease, errorMessage, errorKind) =>
        log(`fail:${errorKind}`, () => {
          const message = held(lease);
          if (message === null) return { requeued: false, deadLettered: false, nextScheduledFor: null };
          message.errors.push(errorMessage);
          message.leaseId = null;
          const dead = errorKind === "permanent" || message.attempts >= 5;
          message.status = dead ? "dead_letter" : "queued";
          settle();
          notify();
          return { requeued: !dead, deadLettered: dead, nextScheduledFor: dead ? null : Date.now() };
        }),
      release: (lease, reason) =>
        log(`release:${reason}`, () => {
          const message = held(lease);
          if (message === null) return false;
          Object.assign(message, { status: "queued", leaseId: null, attempts: message.attempts - 1 });
          notify();
          return true;
        }),
      controlState: () =>
        log("controlState", () => ({ shouldStop: false, reason: "none" as const, drainRemainingMs: null })),
      ready: (report) =>
        log("ready", () => {
          deployment.readyReports.push(report);
          return true;
        }),
      stopped: (reason) =>
        log("stopped", () => {
          deployment.stoppedReasons.push(reason);
          return true;
        }),
      prepareDataSnapshotUpload: (lease, files) =>
        log("prepare", () => {
          const message = held(lease);
          if (message === null) throw new Error("stale");
          if (deployment.failNextPrepare) {
            deployment.failNextPrepare = false;
            // No failure of the backend's own: those the worker outlasts, and the turn with it.
            throw new Error("scripted failure");
          }
          const list = snapshotsOf(message.conversationId);
          const snapshot = {
            id: `snap${++counter}`,
            version: list.length + 1,
            files,
            ready: false,
            current: false,
          };
          list.push(snapshot);
          const known = blobsOf(message.conversationId);
          const missing = new Set(files.map((file) => file.sha256).filter((hash) => !known.has(hash)));
          return {
            snapshotId: snapshot.id,
            uploads: [...missing].map((sha256) => ({ sha256, uploadUrl: `${url}/upload` })),
          };
        }),
      finalizeDataSnapshotUpload: (lease, snapshotId, uploaded: UploadedBlob[]) =>
        log("finalize", () => {
          const message = held(lease);
          if (message === null) return { ready: false, version: null };
          for (const { sha256, storageId, encoding } of uploaded)
            blobsOf(message.conversationId).set(sha256, { storageId, encoding });
          const snapshot = snapshotsOf(message.conversationId).find(
            (candidate) => candidate.id === snapshotId,
          );
          if (snapshot === undefined) return { ready: false, version: null };
          snapshot.ready = true;
          return { ready: true, version: snapshot.version };
        }),
      failDataSnapshotUpload: () => log("failSnapshot", () => true),
      prepareAnswerFiles: (lease, count) =>
        log("prepareAnswerFiles", () =>
          held(lease) === null ? [] : Array<string>(count).fill(`${url}/upload`),
        ),
      subscribeInbox: (onInbox) => {
        listener = onInbox;
        listeners.add(onInbox);
        queueMicrotask(() => onInbox(deployment.inbox));
        return () => listeners.delete(onInbox);
      },
      reconnect: () => void deployment.calls.push("reconnect"),
      close: () => {
        if (listener !== null) listeners.delete(listener);
        return Promise.resolve();
      },
    };
  };

  const deployment: FakeDeployment = {
    backend,
    enqueue: (conversationId, text) => {
      const id = `msg${++counter}` as MessageId;
      messages.set(id, {
        id,
        conversationId,
        text,
        status: "queued",
        attempts: 0,
        leaseId: null,
        notBefore: 0,
        answer: undefined,
        errors: [],
      });
      notify();
      return id;
    },
    message: (id) => {
      const message = messages.get(id);
      if (message === undefined) throw new Error(`no message ${id}`);
      return message;
    },
    finished: (id) =>
      new Promise((resolve) => {
        const look = (): void => {
          const message = deployment.message(id);
          if (message.status !== "done" && message.status !== "dead_letter") return;
          waiters.delete(look);
          resolve(message);
        };
        waiters.add(look);
        look();
      }),
    profile: {
      agentKey: "default",
      version: "1",
      revision: 1,
      soulMd: "You are the soul of this test.",
      clientMd: "The client of this test.",
      skills: [],
      toolPolicy: { allow: [] },
      bridgeFunctions: [],
    },
    destination: null,
    inbox: {
      wake: 0,
      draining: false,
      drainRemainingMs: null,
      cancelled: [],
      jobsPerWorker: 4,
      idleHeartbeatIntervalMs: 30_000,
    },
    setInbox: (change) => {
      deployment.inbox = { ...deployment.inbox, ...change };
      for (const listener of listeners) listener(deployment.inbox);
    },
    steal: (id) => {
      deployment.message(id).leaseId = STOLEN;
    },
    claimant: null,
    expireLeases: () => {
      for (const message of messages.values()) {
        if (message.status === "processing") Object.assign(message, { status: "queued", leaseId: null });
      }
      notify();
    },
    answers: [],
    calls: [],
    previews: [],
    readyReports: [],
    stoppedReasons: [],
    snapshotsOf,
    blob: (storageId) => storage.get(storageId),
    storedBlob: (conversationId, sha256) => {
      const blob = blobsOf(conversationId).get(sha256);
      const body = blob === undefined ? undefined : storage.get(blob.storageId);
      return blob === undefined || body === undefined ? undefined : { body, encoding: blob.encoding };
    },
    replaceBlob: (storageId, body) => void storage.set(storageId, body),
    uploadedBytes: 0,
    turnTimeoutMs: 60_000,
    dedication: "none",
    heartbeatIntervalMs: 5_000,
    bundleOverrides: {},
    failNextPrepare: false,
    publish: (content) => {
      const id = `file${++counter}`;
      storage.set(id, content);
      return Promise.resolve(`${url}/${id}`);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return deployment;
}
