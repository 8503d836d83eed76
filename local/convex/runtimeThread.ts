import { EventEmitter } from "node:events";
import { Worker } from "node:worker_threads";
import { RequestError } from "./engine/errors.ts";
import { newPulse, PulseReader, watchLabel } from "./runtime/pulse.ts";
import type {
  CallReply,
  FromRuntime,
  RuntimeCallName,
  RuntimeCalls,
  RuntimeOptions,
  ToRuntime,
} from "./runtime/protocol.ts";

/** How often the host looks at the runtime's heartbeat. */
const WATCH_INTERVAL_MS = 250;
/** A call that was in flight when the runtime died is sent again this often, when that is safe. */
const MAX_RESENDS = 2;
/** Loading the runtime and the user's modules may take longer than any function. */
const START_TIMEOUT_MS = 30_000;
const MAX_HEAP_MB = 1_024;
const RESTART_DELAY_MS = 200;
const STOP_TIMEOUT_MS = 3_000;

/** Requests that may be sent again because running them twice has the effect of running them once. */
const REPEATABLE = new Set<RuntimeCallName>([
  "watch",
  "unwatch",
  "timestamp",
  "findFile",
  "environment",
  "readEnvironment",
  "uploadKey",
  "checkSchema",
  "activePush",
  "diffSchema",
  "functionMetrics",
]);

/** The request's own code blocked the runtime until it was terminated. */
export class HungError extends RequestError {
  readonly label: string;

  constructor(label: string, limitMs: number) {
    super(503, "FunctionTimeout", `Function execution timed out (maximum duration: ${limitMs / 1000}s)`);
    this.label = label;
  }
}

interface Pending {
  readonly message: ToRuntime;
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: Error) => void;
  resends: number;
}

interface Events {
  commit: [ts: string, stale: readonly number[]];
  completion: [Extract<FromRuntime, { kind: "completion" }>["completion"]];
  http: [Extract<FromRuntime, { kind: "httpHead" | "httpBody" | "httpEnd" }>];
  restarted: [];
}

/**
 * The host's handle on the runtime thread: sends requests, watches the heartbeat, and starts a new thread when
 * function code hangs or crashes the old one. A thread and not a child process: it dies with its process, so a
 * SIGKILL never leaves an orphan behind that still writes to the database, and `terminate` stops even a loop
 * that never yields.
 */
export class RuntimeThread extends EventEmitter<Events> {
  readonly #options: Omit<RuntimeOptions, "pulse" | "hung">;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #ready: Promise<void> = Promise.resolve();
  #nextId = 1;
  #stopping = false;
  #watchdog: NodeJS.Timeout | undefined;
  #hung: string[] = [];

  constructor(options: Omit<RuntimeOptions, "pulse" | "hung">) {
    super();
    this.#options = options;
  }

  /** Starts the thread; resolves when it can answer. */
  async start(): Promise<void> {
    this.#spawn([]);
    await this.#ready;
  }

  #spawn(hung: readonly string[]): void {
    const pulse = newPulse();
    const workerData: RuntimeOptions = { ...this.#options, pulse, hung };
    const worker = new Worker(new URL("./runtime/main.ts", import.meta.url), {
      workerData,
      env: {},
      execArgv: ["--disable-warning=ExperimentalWarning"],
      // Running out of memory ends the thread and not the process.
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
      stdout: true,
      stderr: false,
    });
    // Standard output belongs to the ready line.
    worker.stdout.pipe(process.stderr, { end: false });
    this.#worker = worker;
    this.#ready = new Promise((resolve, reject) => {
      worker.once("exit", () => reject(new Error("The Convex runtime stopped while it was starting.")));
      worker.on("error", (error) => {
        process.stderr.write(
          `The Convex runtime failed: ${error instanceof Error ? error.stack : String(error)}\n`,
        );
        reject(error as Error);
      });
      worker.on("message", (message: FromRuntime) => {
        if (message.kind === "ready") resolve();
        else this.#receive(message);
      });
    });
    this.#ready.catch(() => undefined);
    worker.once("exit", () => this.#onExit(worker));
    this.#watch(worker, new PulseReader(pulse));
  }

  #receive(message: Exclude<FromRuntime, { kind: "ready" }>): void {
    switch (message.kind) {
      case "reply":
        this.#take(message.id)?.resolve(message.body);
        return;
      case "failure":
        this.#take(message.id)?.reject(new RequestError(message.status, message.code, message.message));
        return;
      case "commit":
        this.emit("commit", message.ts, message.stale);
        return;
      case "completion":
        this.emit("completion", message.completion);
        return;
      default:
        this.emit("http", message);
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  /** Terminates a thread whose heartbeat stands still for longer than a function may run. */
  #watch(worker: Worker, pulse: PulseReader): void {
    let last = 0;
    let quietChecks = 0;
    let limitMs = START_TIMEOUT_MS;
    this.#ready.then(
      () => (limitMs = this.#options.functionTimeoutMs),
      () => undefined,
    );
    clearInterval(this.#watchdog);
    this.#watchdog = setInterval(() => {
      const { beat, exempt } = pulse.read();
      quietChecks = beat === last && !exempt ? quietChecks + 1 : 0;
      last = beat;
      // Counting checks and not time: when the whole machine stalls, so does this timer.
      if (quietChecks * WATCH_INTERVAL_MS < limitMs) return;
      quietChecks = 0;
      this.#blame(pulse.label());
      void worker.terminate();
    }, WATCH_INTERVAL_MS);
    this.#watchdog.unref();
  }

  /** Fails the request whose code hung; the others will be sent again. */
  #blame(label: string): void {
    process.stderr.write(
      `A function blocked the Convex runtime for too long (${label}); restarting the runtime.\n`,
    );
    this.#hung.push(label);
    for (const [id, { message, resolve, reject }] of this.#pending) {
      const owner = message.name === "call" || message.name === "http" ? message.body.request.id : null;
      const watched = message.name === "watch" && watchLabel(message.body.key) === label;
      if (owner !== label && !watched) continue;
      this.#pending.delete(id);
      const error = new HungError(label, this.#options.functionTimeoutMs);
      if (message.name !== "call") reject(error);
      else
        resolve({
          ok: false,
          message: error.message,
          data: null,
          logs: [],
          metrics: null,
        } satisfies CallReply);
    }
  }

  #onExit(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    clearInterval(this.#watchdog);
    if (this.#stopping) return;
    const hung = this.#hung.splice(0);
    setTimeout(() => {
      if (this.#stopping) return;
      this.#spawn(hung);
      this.#ready.then(
        () => this.#resend(),
        () => undefined,
      );
    }, RESTART_DELAY_MS);
  }

  #resend(): void {
    this.emit("restarted");
    for (const [id, pending] of this.#pending) {
      pending.resends += 1;
      const { message } = pending;
      const safe =
        REPEATABLE.has(message.name) ||
        (message.name === "call" && (message.body.kind === "query" || message.body.once !== undefined));
      if (safe && pending.resends <= MAX_RESENDS) this.#worker?.postMessage(message);
      else {
        this.#pending.delete(id);
        pending.reject(
          new RequestError(
            503,
            "InternalServerError",
            "The function runtime was restarted while this request ran.",
          ),
        );
      }
    }
  }

  /** Sends a request and waits for its reply. @param onId learns the request's number before it is sent */
  async request<Name extends RuntimeCallName>(
    name: Name,
    body: RuntimeCalls[Name][0],
    onId?: (id: number) => void,
  ): Promise<RuntimeCalls[Name][1]> {
    const id = this.#nextId++;
    const message = { id, name, body } as ToRuntime;
    onId?.(id);
    return await new Promise<RuntimeCalls[Name][1]>((resolve, reject) => {
      this.#pending.set(id, { message, resolve: resolve as (body: unknown) => void, reject, resends: 0 });
      // While a new thread starts, requests wait; #resend sends them.
      this.#worker?.postMessage(message);
    });
  }

  /** Closes the database and ends the thread. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#watchdog);
    const worker = this.#worker;
    if (worker === null) return;
    const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    worker.postMessage("stop");
    const timer = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  }
}
