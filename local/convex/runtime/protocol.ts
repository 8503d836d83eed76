/**
 * Messages between the host (main thread: ports and sockets) and the runtime (worker thread: database and
 * function code). Convex values travel as JSON text, so that neither side parses what it only passes on.
 */

export interface UserIdentity {
  readonly tokenIdentifier: string;
  readonly [attribute: string]: unknown;
}

/** On whose behalf a function runs. */
export interface Caller {
  /** Holds the admin key: may call internal functions and system queries. */
  readonly admin: boolean;
  /** What `ctx.auth.getUserIdentity()` answers. */
  readonly identity: UserIdentity | null;
}

/** The request that caused a call, kept through nested and scheduled calls. */
export interface RequestInfo {
  readonly id: string;
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly scheduledFunctionId: string | null;
}

export interface LogLine {
  readonly level: "LOG" | "DEBUG" | "INFO" | "WARN" | "ERROR";
  readonly messages: readonly string[];
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly isTruncated: boolean;
}

/** What a call used, for benches and tests. */
export interface CallMetrics {
  readonly documentsRead: number;
  readonly documentsWritten: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly databaseQueries: number;
  readonly durationMs: number;
}

export interface CallRequest {
  readonly kind: "query" | "mutation" | "action" | "any";
  readonly path: string;
  /** JSON of the arguments: an array with one object. */
  readonly args: string;
  readonly caller: Caller;
  readonly request: RequestInfo;
  /** Makes a mutation happen once however often it is sent. */
  readonly once?: { readonly session: string; readonly request: number };
  /** Reads the state as of this timestamp (decimal nanoseconds). */
  readonly atTs?: string;
}

export type CallReply =
  | {
      readonly ok: true;
      /** JSON of the result. */
      readonly value: string;
      readonly logs: readonly LogLine[];
      /** Commit timestamp of a mutation, snapshot timestamp of a query, "0" for an action. */
      readonly ts: string;
      readonly metrics: CallMetrics | null;
    }
  | {
      readonly ok: false;
      readonly message: string;
      /** JSON of a ConvexError's payload. */
      readonly data: string | null;
      readonly logs: readonly LogLine[];
      readonly metrics: CallMetrics | null;
    };

export interface WatchedQuery {
  /** The host's name for this subscription; a commit that touches what it read reports the key. */
  readonly key: number;
  readonly path: string;
  readonly args: string;
  readonly caller: Caller;
  readonly journal: string | null;
}

export interface WatchedResult {
  readonly reply: CallReply;
  /** What a re-run must be given so that its pages end where they did. */
  readonly journal: string | null;
  /** Timestamp at which the result holds. */
  readonly ts: string;
}

export interface HttpRequestData {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
  readonly request: RequestInfo;
}

export interface FileRecord {
  readonly storageId: string;
  readonly blob: string;
  readonly sha256: string;
  readonly size: number;
  readonly contentType: string | null;
}

/** What the host can ask for; each name maps its request to its reply. */
export interface RuntimeCalls {
  call: [CallRequest, CallReply];
  watch: [WatchedQuery, WatchedResult];
  unwatch: [{ readonly keys: readonly number[] }, null];
  http: [HttpRequestData, { readonly matched: boolean }];
  timestamp: [null, string];
  recordFile: [Omit<FileRecord, "storageId">, string];
  findFile: [{ readonly blob: string }, FileRecord | null];
  environment: [
    { readonly changes: readonly { readonly name: string; readonly value: string | null }[] },
    null,
  ];
  readEnvironment: [null, Record<string, string>];
  uploadKey: [null, string];
  checkSchema: [{ readonly push: string }, { readonly error: string; readonly table: string } | null];
  activate: [{ readonly push: string }, { readonly cronDiff: CronDiff }];
  activePush: [null, string | null];
  diffSchema: [{ readonly push: string }, IndexDiff];
  functionMetrics: [null, Record<string, FunctionTotals>];
}

export interface FunctionTotals {
  calls: number;
  errors: number;
  documentsRead: number;
  documentsWritten: number;
  bytesRead: number;
  bytesWritten: number;
  durationMs: number;
}

export interface CronDiff {
  readonly added: readonly string[];
  readonly updated: readonly string[];
  readonly deleted: readonly string[];
}

export interface DatabaseIndex {
  readonly name: string;
  readonly type: "database";
  readonly fields: readonly string[];
}

export interface IndexDiff {
  readonly added_indexes: readonly DatabaseIndex[];
  readonly removed_indexes: readonly DatabaseIndex[];
}

export type RuntimeCallName = keyof RuntimeCalls;

export type ToRuntime = {
  [Name in RuntimeCallName]: {
    readonly id: number;
    readonly name: Name;
    readonly body: RuntimeCalls[Name][0];
  };
}[RuntimeCallName];

/** One finished function, as `convex logs` shows it. */
export interface Completion {
  readonly udfType: "Query" | "Mutation" | "Action" | "HttpAction";
  readonly path: string;
  readonly logs: readonly LogLine[];
  readonly error: string | null;
  /** Seconds since 1970 and seconds. */
  readonly timestamp: number;
  readonly executionTime: number;
  readonly caller: string;
  readonly requestId: string;
}

export type FromRuntime =
  | { readonly kind: "ready" }
  | { readonly kind: "reply"; readonly id: number; readonly body: unknown }
  | {
      readonly kind: "failure";
      readonly id: number;
      readonly status: number;
      readonly code: string;
      readonly message: string;
    }
  | { readonly kind: "commit"; readonly ts: string; readonly stale: readonly number[] }
  | { readonly kind: "completion"; readonly completion: Completion }
  | {
      readonly kind: "httpHead";
      readonly id: number;
      readonly status: number;
      readonly headers: readonly (readonly [string, string])[];
    }
  | { readonly kind: "httpBody"; readonly id: number; readonly chunk: Uint8Array }
  | { readonly kind: "httpEnd"; readonly id: number; readonly error: string | null };

/** What the host hands to the runtime thread when it starts it. */
export interface RuntimeOptions {
  readonly state: string;
  readonly cloudUrl: string;
  readonly siteUrl: string;
  /** Longest a query or mutation may run, in milliseconds of wall clock. */
  readonly functionTimeoutMs: number;
  readonly actionTimeoutMs: number;
  /** Shared with the watchdog, see pulse.ts. */
  readonly pulse: SharedArrayBuffer;
  /** Labels (see pulse.ts) of the calls that hung the previous runtime: they failed and must not run again. */
  readonly hung: readonly string[];
}
