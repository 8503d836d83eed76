/**
 * What a worker asks of the backend, and nothing else. The shapes are the backend's own validators; the one
 * implementation outside tests is `convexBackend.ts`.
 */
import type {
  Answer,
  Claim,
  ControlState,
  FailOutcome,
  HistoryMessage,
  HydrationBundle,
  Inbox,
  LeaseRef,
  ReadyReport,
  SnapshotFile,
} from "../../../convex/validators.ts";

export interface HydrationHolds {
  profileRevision?: number;
  snapshotVersion?: number;
  historyThrough?: number;
}

export interface CompletedTurn extends LeaseRef {
  answer: Answer | null;
  history: HistoryMessage[];
  snapshotId?: string;
  usage?: { inputTokens?: number; outputTokens?: number };
  /** ms of this worker's phases, for timelines. */
  timings?: { hydrateMs?: number; modelMs?: number };
}

export interface UploadedBlob {
  sha256: string;
  storageId: string;
  encoding: "zstd" | "identity";
}

/**
 * Every call may throw a {@link BackendError}; a fenced call answers false or null to a caller that no longer
 * holds the lease.
 */
export interface WorkerBackend {
  claim(claimKey: string): Promise<Claim | null>;
  getHydrationBundle(lease: LeaseRef, holds: HydrationHolds | null): Promise<HydrationBundle | null>;
  /** Without a lease: the liveness of an idle worker. */
  heartbeat(lease: LeaseRef | null): Promise<boolean>;
  complete(turn: CompletedTurn): Promise<boolean>;
  /** Shows what has been written so far in the chat. false: no further preview is wanted. */
  preview(lease: LeaseRef, text: string): Promise<boolean>;
  fail(lease: LeaseRef, errorMessage: string, errorKind: "retryable" | "permanent"): Promise<FailOutcome>;
  release(lease: LeaseRef, reason: string): Promise<boolean>;
  controlState(): Promise<ControlState>;
  ready(report: ReadyReport): Promise<boolean>;
  stopped(reason: string): Promise<boolean>;
  prepareDataSnapshotUpload(
    lease: LeaseRef,
    files: SnapshotFile[],
  ): Promise<{ snapshotId: string; uploads: Array<{ sha256: string; uploadUrl: string }> }>;
  finalizeDataSnapshotUpload(
    lease: LeaseRef,
    snapshotId: string,
    uploaded: UploadedBlob[],
  ): Promise<{ ready: boolean; version: number | null }>;
  failDataSnapshotUpload(lease: LeaseRef, snapshotId: string, errorMessage: string): Promise<boolean>;
  /** Upload URLs for the files of an answer; none for a stale holder. */
  prepareAnswerFiles(lease: LeaseRef, count: number): Promise<string[]>;
  /** Calls back at once with the current inbox, then with every change. Returns the way to stop. */
  subscribeInbox(onInbox: (inbox: Inbox) => void, onError: (error: Error) => void): () => void;
  /** Drops the connection behind the subscription and opens a new one: for a socket that went silent. */
  reconnect(): void;
  close(): Promise<void>;
}

/** What a failed call means for the caller. */
export type BackendErrorKind =
  /** Worth another try: the backend said so, or it never received the call. */
  | "retryable"
  /** The same call will fail again. */
  | "permanent"
  /** The call may have succeeded: only a repeatable call may be tried again. */
  | "unknown"
  /** This worker is no longer known or its token is revoked. */
  | "unauthorized";

export class BackendError extends Error {
  override name = "BackendError";
  readonly kind: BackendErrorKind;
  constructor(kind: BackendErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}
