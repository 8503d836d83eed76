import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseGoDuration } from "../duration.ts";
import type { ImageStore } from "../registry/imageStore.ts";
import type { SecretStore } from "../secrets/secretStore.ts";
import type { VolumeStore } from "../volumes/volumeStore.ts";
import type { StopSignal } from "./configSchema.ts";
import { type ExitDecision, decideAfterExit } from "./exitDecision.ts";
import type { MachineFolders } from "./folders.ts";
import { planLaunch } from "./launchPlan.ts";
import type { MachineBoard } from "./machineBoard.ts";
import type { MachineJobs } from "./machineJobs.ts";
import type { MachineStore } from "./machineStore.ts";
import { isAlive, launch, readExit, readMainPid, sendSignal, signalMachine } from "./processes.ts";
import type { AfterStop, MachineRecord, MachineState } from "./record.ts";
import type { UsageBook } from "./usage.ts";

/** Fly's defaults of stop_config. */
const STOP_SIGNAL: StopSignal = "SIGINT";
const STOP_TIMEOUT_MS = 5_000;
/** Exit code reported for a process that was killed before it could tell. */
const KILLED = 128 + 9;
/** How often the end of a process that an earlier emulator started is looked for. */
const WATCH_MS = 100;
/** How long a stop waits for the init to have written the command's pid. */
const MAIN_PID_WAIT_MS = 500;

export interface RunnerParts {
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
 * The processes behind machines: boots, freezes, ends and watches them, and moves the records along. Its async
 * methods are jobs of the machine's queue; each re-reads the record after every wait, since a request may have
 * overtaken it.
 */
export class MachineRunner {
  readonly #parts: RunnerParts;
  readonly #board: MachineBoard;
  readonly #jobs: MachineJobs;
  readonly #killTimers = new Map<string, NodeJS.Timeout>();
  readonly #watchers = new Map<string, NodeJS.Timeout>();

  constructor(parts: RunnerParts, board: MachineBoard, jobs: MachineJobs) {
    this.#parts = parts;
    this.#board = board;
    this.#jobs = jobs;
  }

  /** Forgets timers; processes are left alone. */
  close(): void {
    for (const timer of [...this.#killTimers.values(), ...this.#watchers.values()]) clearTimeout(timer);
  }

  /** Builds the machine's disk from its image and starts its command. */
  async boot(id: string, isRestart: boolean): Promise<void> {
    const { folders, images, secrets, usage, transientMs, now } = this.#parts;
    const first = this.#board.find(id);
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
    const record = this.#board.find(id);
    // A stop or destroy came meanwhile: it finishes the machine in its own job.
    if (this.#board.isClosed || record?.state !== "starting") return;
    const values = record.secretsVersion === null ? {} : secrets.valuesAt(record.app, record.secretsVersion);
    const plan = planLaunch(record, image.run, values, place, process.env["PATH"]);
    if (plan.argv.length === 0)
      throw new Error("no command specified: the image has no entrypoint and no command");
    // From spawn to save nothing waits, so no crash of ours can lose the process but in these microseconds.
    const { child, identity } = launch({ runFolder: place.run, ...plan, logFile: folders.logFile(id) });
    const started = this.#board.set(id, { state: "started", process: identity });
    if (started === null) return signalMachine(id, identity, "SIGKILL");
    usage.open(id, record.app, record.region, now());
    this.#board.event(id, "start", "started", "flyd");
    this.watch(started, child);
  }

  /** Thaws a suspended machine; one whose process is gone boots anew, as Fly does when it cannot resume. */
  async resume(id: string): Promise<void> {
    const { usage, transientMs, now } = this.#parts;
    await sleep(transientMs);
    const record = this.#board.find(id);
    if (record?.state !== "starting") return;
    if (record.process === null || !isAlive(record.process)) return await this.boot(id, false);
    signalMachine(id, record.process, "SIGCONT");
    this.#board.set(id, { state: "started" });
    usage.open(id, record.app, record.region, now());
    this.#board.event(id, "start", "started", "flyd");
  }

  /** Stops the clock of every process of the machine. */
  async freeze(id: string): Promise<void> {
    const { usage, transientMs, now } = this.#parts;
    await sleep(transientMs);
    const record = this.#board.find(id);
    if (record?.state !== "suspending") return;
    signalMachine(id, record.process, "SIGSTOP");
    usage.close(id, now());
    this.#board.set(id, { state: "suspended" });
    this.#board.event(id, "suspend", "suspended", "flyd");
  }

  /** Puts the machine into a transient state and ends its process, if it has one; `next` says what follows. */
  endProcess(
    record: MachineRecord,
    state: MachineState,
    next: AfterStop,
    request: StopRequest,
    change: Partial<MachineRecord> = {},
  ): void {
    const config = record.config.stop_config;
    const timeoutMs = request.timeoutMs ?? parseGoDuration(config?.timeout ?? "") ?? STOP_TIMEOUT_MS;
    const killAtMs = this.#parts.now() + timeoutMs;
    this.#board.set(record.id, { ...change, state, stop: { killAtMs, next } });
    if (record.process === null) return this.#jobs.add(record.id, () => this.afterEnd(record.id, 0));
    if (record.state !== "started") {
      // Frozen, being frozen or being thawed: it can answer no signal. Stopping it throws its memory away.
      return signalMachine(record.id, record.process, "SIGKILL");
    }
    const { pid } = record.process;
    this.#deliver(record.id, pid, request.signal ?? config?.signal ?? STOP_SIGNAL).catch((error: unknown) =>
      this.#parts.log(`machine ${record.id}: cannot be signalled: ${String(error)}`),
    );
    this.armKill(record.id, killAtMs);
  }

  /** The stop signal goes to the command alone, as Fly's init sends it: its children are the command's business. */
  async #deliver(id: string, pid: number, signal: NodeJS.Signals): Promise<void> {
    const { run } = this.#parts.folders.of(id);
    for (let waited = 0; waited < MAIN_PID_WAIT_MS && readMainPid(run) === null; waited += 10)
      await sleep(10);
    sendSignal(readMainPid(run) ?? -pid, signal);
  }

  /** Kills the machine at this time if its stop is then still under way. */
  armKill(id: string, killAtMs: number): void {
    clearTimeout(this.#killTimers.get(id));
    const timer = setTimeout(
      () => {
        const record = this.#board.find(id);
        if (record?.process != null && record.stop !== null) signalMachine(id, record.process, "SIGKILL");
      },
      Math.max(0, killAtMs - this.#parts.now()),
    );
    this.#killTimers.set(id, timer);
  }

  /** Marks the machine as going and kills it; the rest follows when its process has ended. */
  beginDestroy(record: MachineRecord): void {
    this.#board.set(record.id, { state: "destroying", stop: null });
    if (record.process === null) return this.#jobs.add(record.id, () => this.finishDestroy(record.id));
    signalMachine(record.id, record.process, "SIGKILL");
  }

  /** Removes what a machine without a process still has: its disk, its hold on a volume, its name. */
  async finishDestroy(id: string): Promise<void> {
    const { folders, volumes, transientMs, now } = this.#parts;
    await sleep(transientMs);
    const record = this.#board.find(id);
    if (record?.state !== "destroying") return;
    signalMachine(id, null, "SIGKILL");
    await folders.clear(id);
    volumes.detachFrom(record.app, id);
    this.#board.event(id, "destroy", "destroyed", "flyd");
    this.#board.set(id, { state: "destroyed", destroyedAtMs: now(), lease: null });
  }

  /** A child of ours tells its end by an event; a process of an earlier life is looked at now and then. */
  watch(record: MachineRecord, child: ChildProcess | null): void {
    const { id, process: identity } = record;
    if (identity === null) return;
    if (child !== null) {
      child.once("exit", () => this.ended(id, identity.pid, true));
      return;
    }
    const timer = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(timer);
      this.#watchers.delete(id);
      this.ended(id, identity.pid, true);
    }, WATCH_MS);
    this.#watchers.set(id, timer);
  }

  /**
   * The init of a machine has ended: records it, kills what is left, and goes on as decided. `seen` = it was just
   * seen to end; otherwise its pid may long belong to someone else, and its group must not be signalled.
   */
  ended(id: string, pid: number, seen: boolean): void {
    const { folders, usage, now } = this.#parts;
    const record = this.#board.find(id);
    if (record?.process?.pid !== pid) return;
    clearTimeout(this.#killTimers.get(id));
    this.#killTimers.delete(id);
    signalMachine(id, seen ? record.process : null, "SIGKILL");
    const exit = readExit(folders.of(id).run) ?? { code: KILLED, atMs: now() };
    usage.close(id, Math.min(exit.atMs, now()));
    const signal = exit.code > 128 ? exit.code - 128 : 0;
    this.#board.event(id, "exit", "stopped", "flyd", {
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
    this.#board.set(id, { process: null });
    this.#jobs.add(id, () => this.afterEnd(id, exit.code));
  }

  /** What comes after the end of the process (exitDecision.ts). */
  async afterEnd(id: string, exitCode: number): Promise<void> {
    const { transientMs, now } = this.#parts;
    const before = this.#board.find(id);
    if (before === null || before.process !== null || before.state === "destroyed") return;
    // A transient state is shown for its shortest time even when the process was quicker.
    if (before.stop !== null) await sleep(Math.max(0, before.updatedAtMs + transientMs - now()));
    const record = this.#board.find(id);
    if (record === null || record.process !== null) return;
    await this.#act(record, decideAfterExit(record, exitCode, now()));
  }

  async #act(record: MachineRecord, decision: ExitDecision): Promise<void> {
    const { id } = record;
    switch (decision.kind) {
      case "stopped":
        this.#board.set(id, { state: "stopped", stop: null });
        return this.#board.event(id, "stop", "stopped", "flyd");
      case "failed":
        this.#board.set(id, { state: "failed", stop: null });
        return this.#board.event(id, "stop", "failed", "flyd");
      case "destroy":
        if (record.state !== "destroying") {
          this.#board.set(id, { state: "destroying", stop: null });
          this.#board.event(id, "destroy", "destroying", "flyd");
        }
        return await this.finishDestroy(id);
      case "start":
        this.#board.set(id, { state: "starting", stop: null });
        return await this.boot(id, true);
      case "restart":
        this.#board.set(id, { state: "starting", restarts: decision.restarts });
        this.#board.event(id, "restart", "restarting", "flyd");
        await sleep(decision.delayMs);
        return await this.boot(id, true);
    }
  }
}
