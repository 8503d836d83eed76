import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { failedPrecondition } from "../errors.ts";
import type { ImageStore } from "../registry/imageStore.ts";
import type { SecretStore } from "../secrets/secretStore.ts";
import type { VolumeStore } from "../volumes/volumeStore.ts";
import { parseGoDuration } from "../duration.ts";
import type { StopSignal } from "./configSchema.ts";
import { type ExitDecision, decideAfterExit } from "./exitDecision.ts";
import type { MachineFolders } from "./folders.ts";
import { planLaunch } from "./launchPlan.ts";
import type { MachineStore } from "./machineStore.ts";
import { isAlive, launch, readExit, readMainPid, sendSignal, signalMachine } from "./processes.ts";
import type { AfterStop, MachineEvent, MachineRecord, MachineState } from "./record.ts";
import type { UsageBook } from "./usage.ts";

/** Fly's defaults of stop_config. */
const STOP_SIGNAL: StopSignal = "SIGINT";
const STOP_TIMEOUT_MS = 5_000;
/** Exit code reported for a process that was killed before it could tell. */
const KILLED = 128 + 9;
/** How often the end of a process that an earlier emulator started is looked for. */
const WATCH_MS = 100;
/** Longest wait for a destruction: SIGKILL needs no cooperation, removing a large root folder some time. */
const SETTLE_MS_MAX = 10_000;
/** How long a stop waits for the init to have written the command's pid. */
const MAIN_PID_WAIT_MS = 500;

export interface EngineParts {
  store: MachineStore;
  usage: UsageBook;
  folders: MachineFolders;
  images: ImageStore;
  volumes: VolumeStore;
  secrets: SecretStore;
  transientMs: number;
  now: () => number;
  log: (line: string) => void;
}

export interface StopRequest {
  signal?: StopSignal | undefined;
  timeoutMs?: number | undefined;
}

/**
 * Moves machines between states. Every public method changes the state at once (synchronously, persisted) and lets
 * the rest happen in the background, one job at a time per machine. A job re-reads the record after every wait: a
 * request may have overtaken it.
 */
export class MachineEngine {
  readonly #parts: EngineParts;
  readonly #jobs = new Map<string, Promise<void>>();
  readonly #killTimers = new Map<string, NodeJS.Timeout>();
  readonly #watchers = new Map<string, NodeJS.Timeout>();
  readonly #listeners = new Set<(id: string) => void>();
  #closed = false;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** Calls back after every change of any machine; returns how to end it. */
  onChange(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Saves a change and tells waiters. Null when the machine is gone. */
  set(id: string, change: Partial<MachineRecord>): MachineRecord | null {
    const record = this.#parts.store.find(id);
    if (record === null || this.#closed) return null;
    const next = { ...record, ...change, updatedAtMs: this.#parts.now() };
    this.#parts.store.save(next);
    for (const listener of this.#listeners) listener(id);
    return next;
  }

  event(
    id: string,
    type: MachineEvent["type"],
    status: string,
    source: MachineEvent["source"],
    request?: Record<string, unknown>,
  ): void {
    const { store, now } = this.#parts;
    if (this.#closed) return;
    store.addEvent(id, {
      type,
      status,
      source,
      timestamp: now(),
      ...(request === undefined ? {} : { request }),
    });
  }

  /** Ends the state `creating` of a machine whose image is there: on to the first boot, or to `created`. */
  created(id: string, doLaunch: boolean): MachineRecord | null {
    this.event(id, "launch", "created", "user");
    const record = this.set(id, { state: "created" });
    // The answer to the create call shows `created`; the boot begins right after it.
    if (doLaunch) this.#enqueue(id, () => this.#firstBoot(id));
    return record;
  }

  async #firstBoot(id: string): Promise<void> {
    const record = this.#parts.store.find(id);
    if (record?.state !== "created") return;
    this.set(id, { state: "starting" });
    this.event(id, "start", "starting", "flyd");
    await this.#boot(id, false);
  }

  /** Starts a created, stopped, suspended or failed machine. Starting a started one changes nothing. */
  start(record: MachineRecord): void {
    if (record.state === "started") return;
    if (!["created", "stopped", "suspended", "failed"].includes(record.state)) {
      throw failedPrecondition(`unable to start machine from current state: '${record.state}'`);
    }
    const wasSuspended = record.state === "suspended" && record.process !== null;
    this.set(record.id, { state: "starting", restarts: { count: 0, windowStartedAtMs: 0 } });
    this.event(record.id, "start", "starting", "user");
    this.#enqueue(record.id, () => (wasSuspended ? this.#resume(record.id) : this.#boot(record.id, false)));
  }

  /** Stops: signal to the command, kill of everything when the timeout is over. Stopped machines stay as they are. */
  stop(record: MachineRecord, request: StopRequest): void {
    if (record.state === "stopped" || record.state === "stopping") return;
    if (!["started", "starting", "suspended", "suspending"].includes(record.state)) {
      throw failedPrecondition(`unable to stop machine from current state: '${record.state}'`);
    }
    this.event(record.id, "stop", "stopping", "user");
    this.#endProcess(record, "stopping", "stopped", request);
  }

  restart(record: MachineRecord, request: StopRequest): void {
    if (record.state !== "started") {
      throw failedPrecondition(`unable to restart machine from current state: '${record.state}'`);
    }
    this.event(record.id, "restart", "restarting", "user");
    this.#endProcess(record, "restarting", "start", request);
  }

  suspend(record: MachineRecord): void {
    if (record.state === "suspended" || record.state === "suspending") return;
    if (record.state !== "started") {
      throw failedPrecondition(`unable to suspend machine from current state: '${record.state}'`);
    }
    this.set(record.id, { state: "suspending" });
    this.event(record.id, "suspend", "suspending", "user");
    this.#enqueue(record.id, () => this.#freeze(record.id));
  }

  /** Sends a signal to the command of a started machine. */
  signal(record: MachineRecord, signal: NodeJS.Signals): void {
    if (record.state !== "started" || record.process === null) {
      throw failedPrecondition(`unable to signal machine in state: '${record.state}'`);
    }
    sendSignal(readMainPid(this.#parts.folders.of(record.id).run) ?? -record.process.pid, signal);
  }

  /** Destroys: without force only what does not run, as Fly. */
  destroy(record: MachineRecord, force: boolean): void {
    if (record.state === "destroying") return;
    if (!force && !["created", "stopped", "suspended", "failed"].includes(record.state)) {
      throw failedPrecondition(
        `unable to destroy machine, not currently stopped or suspended: '${record.state}'`,
      );
    }
    this.event(record.id, "destroy", "destroying", "user");
    this.#beginDestroy(record);
  }

  /**
   * Replaces config, version and image. A started machine is stopped as by its old config and boots the new one; any
   * other is left stopped, as Fly does.
   */
  update(record: MachineRecord, change: Partial<MachineRecord>, skipLaunch: boolean): MachineRecord | null {
    if (!["created", "started", "stopped", "suspended", "failed"].includes(record.state)) {
      throw failedPrecondition(`unable to update machine from current state: '${record.state}'`);
    }
    const boots = !skipLaunch && (record.state === "started" || record.state === "failed");
    this.event(record.id, "update", "replacing", "user");
    this.#endProcess(record, "replacing", boots ? "start" : "stopped", {}, change);
    return this.#parts.store.find(record.id);
  }

  /** After a start of the emulator: takes up every machine where the last life left it. */
  recover(): void {
    for (const record of this.#parts.store.live()) {
      const { id, process: identity } = record;
      if (identity !== null && isAlive(identity)) {
        this.#watch(record, null);
        if (record.stop !== null) this.#armKill(id, record.stop.killAtMs);
        if (record.state === "destroying") signalMachine(id, identity, "SIGKILL");
        else if (record.state === "suspending") this.#enqueue(id, () => this.#freeze(id));
        else if (record.state === "starting") this.#enqueue(id, () => this.#resume(id));
      } else if (identity !== null) {
        this.#ended(id, identity.pid);
      } else if (record.state === "destroying") {
        this.#enqueue(id, () => this.#finishDestroy(id));
      } else if (record.state === "creating") {
        // The create call was never answered: the client will look the machine up by name and find it launching.
        this.created(id, true);
      } else if (record.state === "starting") {
        this.#enqueue(id, () => this.#boot(id, false));
      } else if (record.stop !== null) {
        this.#enqueue(id, () => this.#afterEnd(id, KILLED));
      }
    }
  }

  /** Ends background work. `kill` stops every machine first, each given `graceMs`; `keep` leaves the processes alone. */
  async close(mode: "kill" | "keep", graceMs: number): Promise<void> {
    if (mode === "kill") {
      for (const record of this.#parts.store.live()) {
        if (record.process === null) continue;
        if (record.stop === null && record.state !== "destroying") {
          this.#endProcess(record, "stopping", "stopped", { timeoutMs: graceMs });
        }
      }
      const running = (): boolean => this.#parts.store.live().some((record) => record.process !== null);
      for (let waited = 0; waited < graceMs + 1_000 && running(); waited += 20) await sleep(20);
      for (const record of this.#parts.store.live()) {
        if (record.process !== null) signalMachine(record.id, record.process, "SIGKILL");
      }
    }
    this.#closed = true;
    for (const timer of [...this.#killTimers.values(), ...this.#watchers.values()]) clearTimeout(timer);
    await Promise.allSettled(this.#jobs.values());
  }

  /** Resolves when the machine is destroyed, or after a bounded wait. */
  async settled(id: string): Promise<void> {
    for (let waited = 0; waited < SETTLE_MS_MAX; waited += 10) {
      const record = this.#parts.store.find(id);
      if (record === null || record.destroyedAtMs !== null) return;
      await sleep(10);
    }
  }

  #enqueue(id: string, job: () => Promise<void>): void {
    const previous = this.#jobs.get(id) ?? Promise.resolve();
    const next: Promise<void> = previous
      .then(async () => {
        if (!this.#closed) await job();
      })
      .catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        this.#parts.log(`machine ${id}: ${text}`);
        this.event(id, "launch", "failed", "flyd", { error: text });
        this.set(id, { state: "failed", stop: null });
      })
      .finally(() => {
        if (this.#jobs.get(id) === next) this.#jobs.delete(id);
      });
    this.#jobs.set(id, next);
  }

  async #boot(id: string, isRestart: boolean): Promise<void> {
    const { store, folders, images, secrets, usage, transientMs, now } = this.#parts;
    const first = store.find(id);
    if (first?.state !== "starting") return;
    const shown = sleep(transientMs);
    signalMachine(id, null, "SIGKILL"); // leftovers of a life that ended between spawn and save
    const reference = images.parse(
      `${first.imageRef.registry}/${first.imageRef.repository}@${first.imageRef.digest}`,
    );
    const image = reference === null ? null : await images.resolve(reference);
    if (image === null) throw new Error(`image ${first.config.image} is not in the registry any more`);
    const place = await folders.prepare(first, await images.layerFolders(image), isRestart);
    await shown;
    const record = store.find(id);
    // A stop or destroy came meanwhile: it finishes the machine in its own job.
    if (this.#closed || record?.state !== "starting") return;
    const values = record.secretsVersion === null ? {} : secrets.valuesAt(record.app, record.secretsVersion);
    const plan = planLaunch(record, image.run, values, place, process.env["PATH"]);
    if (plan.argv.length === 0)
      throw new Error("no command specified: the image has no entrypoint and no command");
    // From spawn to save nothing waits, so no crash of ours can lose the process but in these microseconds.
    const { child, identity } = launch({ runFolder: place.run, ...plan, logFile: folders.logFile(id) });
    const started = this.set(id, { state: "started", process: identity });
    if (started === null) return signalMachine(id, identity, "SIGKILL");
    usage.open(id, record.app, record.region, now());
    this.event(id, "start", "started", "flyd");
    this.#watch(started, child);
  }

  async #resume(id: string): Promise<void> {
    const { store, usage, transientMs, now } = this.#parts;
    await sleep(transientMs);
    const record = store.find(id);
    if (record?.state !== "starting") return;
    if (record.process === null || !isAlive(record.process)) return await this.#boot(id, false);
    signalMachine(id, record.process, "SIGCONT");
    this.set(id, { state: "started" });
    usage.open(id, record.app, record.region, now());
    this.event(id, "start", "started", "flyd");
  }

  async #freeze(id: string): Promise<void> {
    const { store, usage, transientMs, now } = this.#parts;
    await sleep(transientMs);
    const record = store.find(id);
    if (record?.state !== "suspending") return;
    signalMachine(id, record.process, "SIGSTOP");
    usage.close(id, now());
    this.set(id, { state: "suspended" });
    this.event(id, "suspend", "suspended", "flyd");
  }

  /** Puts the machine into a transient state and ends its process, if it has one; `next` says what follows. */
  #endProcess(
    record: MachineRecord,
    state: MachineState,
    next: AfterStop,
    request: StopRequest,
    change: Partial<MachineRecord> = {},
  ): void {
    const config = record.config.stop_config;
    const timeoutMs = request.timeoutMs ?? parseGoDuration(config?.timeout ?? "") ?? STOP_TIMEOUT_MS;
    const killAtMs = this.#parts.now() + timeoutMs;
    this.set(record.id, { ...change, state, stop: { killAtMs, next } });
    if (record.process === null) return this.#enqueue(record.id, () => this.#afterEnd(record.id, 0));
    if (record.state === "suspended" || record.state === "suspending") {
      // A frozen process can answer no signal; stopping it throws its memory away.
      return signalMachine(record.id, record.process, "SIGKILL");
    }
    const { pid } = record.process;
    this.#deliver(record.id, pid, request.signal ?? config?.signal ?? STOP_SIGNAL).catch((error: unknown) =>
      this.#parts.log(`machine ${record.id}: cannot be signalled: ${String(error)}`),
    );
    this.#armKill(record.id, killAtMs);
  }

  /** The stop signal goes to the command alone, as Fly's init sends it: its children are the command's business. */
  async #deliver(id: string, pid: number, signal: NodeJS.Signals): Promise<void> {
    const { run } = this.#parts.folders.of(id);
    for (let waited = 0; waited < MAIN_PID_WAIT_MS && readMainPid(run) === null; waited += 10)
      await sleep(10);
    sendSignal(readMainPid(run) ?? -pid, signal);
  }

  #armKill(id: string, killAtMs: number): void {
    clearTimeout(this.#killTimers.get(id));
    const timer = setTimeout(
      () => {
        const record = this.#parts.store.find(id);
        if (record?.process != null && record.stop !== null) signalMachine(id, record.process, "SIGKILL");
      },
      Math.max(0, killAtMs - this.#parts.now()),
    );
    this.#killTimers.set(id, timer);
  }

  #beginDestroy(record: MachineRecord): void {
    this.set(record.id, { state: "destroying", stop: null });
    if (record.process === null) return this.#enqueue(record.id, () => this.#finishDestroy(record.id));
    signalMachine(record.id, record.process, "SIGKILL");
  }

  async #finishDestroy(id: string): Promise<void> {
    const { store, folders, volumes, secrets, transientMs, now } = this.#parts;
    await sleep(transientMs);
    const record = store.find(id);
    if (record?.state !== "destroying") return;
    signalMachine(id, null, "SIGKILL");
    await folders.clear(id);
    volumes.detachFrom(record.app, id);
    this.event(id, "destroy", "destroyed", "flyd");
    this.set(id, { state: "destroyed", destroyedAtMs: now(), lease: null });
    secrets.forgetBefore(record.app, store.oldestSecretsVersion(record.app) ?? secrets.version(record.app));
  }

  /** A child of ours tells its end by an event; a process of an earlier life is looked at now and then. */
  #watch(record: MachineRecord, child: ChildProcess | null): void {
    const { id, process: identity } = record;
    if (identity === null) return;
    if (child !== null) {
      child.once("exit", () => this.#ended(id, identity.pid));
      return;
    }
    const timer = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(timer);
      this.#watchers.delete(id);
      this.#ended(id, identity.pid);
    }, WATCH_MS);
    this.#watchers.set(id, timer);
  }

  /** The init of a machine has ended: records it, kills what is left, and goes on as decided. */
  #ended(id: string, pid: number): void {
    const { store, folders, usage, now } = this.#parts;
    if (this.#closed) return;
    const record = store.find(id);
    if (record?.process?.pid !== pid) return;
    clearTimeout(this.#killTimers.get(id));
    this.#killTimers.delete(id);
    signalMachine(id, record.process, "SIGKILL");
    const exit = readExit(folders.of(id).run) ?? { code: KILLED, atMs: now() };
    usage.close(id, Math.min(exit.atMs, now()));
    const signal = exit.code > 128 ? exit.code - 128 : 0;
    this.event(id, "exit", "stopped", "flyd", {
      exit_event: {
        exit_code: exit.code,
        guest_exit_code: exit.code,
        guest_signal: signal,
        signal,
        oom_killed: false,
        requested_stop: record.stop !== null || record.state === "destroying",
        exited_at: new Date(exit.atMs).toISOString(),
      },
      restart_count: record.restarts.count,
    });
    this.set(id, { process: null });
    this.#enqueue(id, () => this.#afterEnd(id, exit.code));
  }

  async #afterEnd(id: string, exitCode: number): Promise<void> {
    const { store, transientMs, now } = this.#parts;
    const before = store.find(id);
    if (before === null || before.process !== null || before.state === "destroyed") return;
    // A transient state is shown for its shortest time even when the process was quicker.
    if (before.stop !== null) await sleep(Math.max(0, before.updatedAtMs + transientMs - now()));
    const record = store.find(id);
    if (record === null || record.process !== null) return;
    await this.#act(record, decideAfterExit(record, exitCode, now()));
  }

  async #act(record: MachineRecord, decision: ExitDecision): Promise<void> {
    const { id } = record;
    switch (decision.kind) {
      case "stopped":
        this.set(id, { state: "stopped", stop: null });
        return this.event(id, "stop", "stopped", "flyd");
      case "failed":
        this.set(id, { state: "failed", stop: null });
        return this.event(id, "exit", "failed", "flyd");
      case "destroy":
        if (record.state !== "destroying") {
          this.set(id, { state: "destroying", stop: null });
          this.event(id, "destroy", "destroying", "flyd");
        }
        return await this.#finishDestroy(id);
      case "start":
        this.set(id, { state: "starting", stop: null });
        return await this.#boot(id, true);
      case "restart":
        this.set(id, { state: "starting", restarts: decision.restarts });
        this.event(id, "restart", "restarting", "flyd");
        await sleep(decision.delayMs);
        return await this.#boot(id, true);
    }
  }
}
