import { setTimeout as sleep } from "node:timers/promises";
import { failedPrecondition } from "../errors.ts";
import { MachineBoard } from "./machineBoard.ts";
import { MachineJobs } from "./machineJobs.ts";
import { MachineRunner, type RunnerParts, type StopRequest } from "./machineRunner.ts";
import { isAlive, readMainPid, sendSignal, signalMachine } from "./processes.ts";
import type { MachineRecord, MachineState } from "./record.ts";

/** Longest wait for a destruction: SIGKILL needs no cooperation, removing a large root folder some time. */
const SETTLE_MS_MAX = 10_000;

function requireState(record: MachineRecord, verb: string, allowed: readonly MachineState[]): void {
  if (allowed.includes(record.state)) return;
  throw failedPrecondition(`unable to ${verb} machine from current state: '${record.state}'`);
}

/**
 * What can be asked of a machine. Every method checks the state and changes it at once (synchronously, persisted);
 * the rest happens in the background (MachineRunner).
 */
export class MachineEngine {
  readonly #parts: RunnerParts;
  readonly #board: MachineBoard;
  readonly #jobs: MachineJobs;
  readonly #runner: MachineRunner;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#board = new MachineBoard(parts.store, parts.now);
    this.#jobs = new MachineJobs((id, error) => this.#failed(id, error));
    this.#runner = new MachineRunner(parts, this.#board, this.#jobs);
  }

  get board(): MachineBoard {
    return this.#board;
  }

  /** Ends the state `creating` of a machine whose image is there: on to the first boot, or to `created`. */
  created(id: string, doLaunch: boolean): MachineRecord | null {
    this.#board.event(id, "launch", "created", "user");
    const record = this.#board.set(id, { state: "created" });
    // The answer to the create call shows `created`; the boot begins right after it.
    if (doLaunch) this.#jobs.add(id, () => this.#firstBoot(id));
    return record;
  }

  async #firstBoot(id: string): Promise<void> {
    if (this.#board.find(id)?.state !== "created") return;
    this.#board.set(id, { state: "starting" });
    this.#board.event(id, "start", "starting", "flyd");
    await this.#runner.boot(id, false);
  }

  /** Starts a created, stopped, suspended or failed machine. Starting a started one changes nothing. */
  start(record: MachineRecord): void {
    const { id, state } = record;
    if (state === "started") return;
    requireState(record, "start", ["created", "stopped", "suspended", "failed"]);
    const isFrozen = state === "suspended" && record.process !== null;
    this.#board.set(id, { state: "starting", restarts: { count: 0, windowStartedAtMs: 0 } });
    this.#board.event(id, "start", "starting", "user");
    this.#jobs.add(id, () => (isFrozen ? this.#runner.resume(id) : this.#runner.boot(id, false)));
  }

  /** Stops: signal to the command, kill of everything when the timeout is over. Stopped machines stay as they are. */
  stop(record: MachineRecord, request: StopRequest): void {
    if (record.state === "stopped" || record.state === "stopping") return;
    requireState(record, "stop", ["started", "starting", "suspended", "suspending"]);
    this.#board.event(record.id, "stop", "stopping", "user");
    this.#runner.endProcess(record, "stopping", "stopped", request);
  }

  restart(record: MachineRecord, request: StopRequest): void {
    requireState(record, "restart", ["started"]);
    this.#board.event(record.id, "restart", "restarting", "user");
    this.#runner.endProcess(record, "restarting", "start", request);
  }

  suspend(record: MachineRecord): void {
    if (record.state === "suspended" || record.state === "suspending") return;
    requireState(record, "suspend", ["started"]);
    this.#board.set(record.id, { state: "suspending" });
    this.#board.event(record.id, "suspend", "suspending", "user");
    this.#jobs.add(record.id, () => this.#runner.freeze(record.id));
  }

  /** Sends a signal to the command of a started machine. */
  signal(record: MachineRecord, signal: NodeJS.Signals): void {
    requireState(record, "signal", ["started"]);
    if (record.process === null) return;
    sendSignal(readMainPid(this.#parts.folders.of(record.id).run) ?? -record.process.pid, signal);
  }

  /** Destroys: without force only what does not run, as Fly. */
  destroy(record: MachineRecord, force: boolean): void {
    if (record.state === "destroying") return;
    if (!force) requireState(record, "destroy", ["created", "stopped", "suspended", "failed"]);
    this.#board.event(record.id, "destroy", "destroying", "user");
    this.#runner.beginDestroy(record);
  }

  /**
   * Replaces config, version and image. A started machine is stopped as by its old config and boots the new one; any
   * other is left stopped, as Fly does.
   */
  update(record: MachineRecord, change: Partial<MachineRecord>, skipLaunch: boolean): MachineRecord | null {
    requireState(record, "update", ["created", "started", "stopped", "suspended", "failed"]);
    const boots = !skipLaunch && (record.state === "started" || record.state === "failed");
    this.#board.event(record.id, "update", "replacing", "user");
    this.#runner.endProcess(record, "replacing", boots ? "start" : "stopped", {}, change);
    return this.#board.find(record.id);
  }

  /** After a start of the emulator: takes up every machine where the last life left it. */
  recover(): void {
    for (const record of this.#parts.store.live()) {
      if (record.process === null) this.#recoverIdle(record);
      else if (isAlive(record.process)) this.#recoverRunning(record);
      else this.#runner.ended(record.id, record.process.pid, false);
    }
  }

  #recoverRunning(record: MachineRecord): void {
    const { id } = record;
    this.#runner.watch(record, null);
    if (record.stop !== null) this.#runner.armKill(id, record.stop.killAtMs);
    if (record.state === "destroying") signalMachine(id, record.process, "SIGKILL");
    else if (record.state === "suspending") this.#jobs.add(id, () => this.#runner.freeze(id));
    else if (record.state === "starting") this.#jobs.add(id, () => this.#runner.resume(id));
  }

  #recoverIdle(record: MachineRecord): void {
    const { id } = record;
    if (record.state === "destroying") this.#jobs.add(id, () => this.#runner.finishDestroy(id));
    // The create call was never answered: the client looks the machine up by its name and finds it launching.
    else if (record.state === "creating") this.created(id, true);
    else if (record.state === "starting") this.#jobs.add(id, () => this.#runner.boot(id, false));
    else if (record.stop !== null) this.#jobs.add(id, () => this.#runner.afterEnd(id, 0));
  }

  /** Resolves when the machine is destroyed, or after a bounded wait. */
  async destroyed(id: string): Promise<void> {
    for (let waited = 0; waited < SETTLE_MS_MAX; waited += 10) {
      const record = this.#board.find(id);
      if (record === null || record.destroyedAtMs !== null) return;
      await sleep(10);
    }
  }

  /** Ends background work. `kill` stops every machine first, each given `graceMs`; `keep` leaves the processes alone. */
  async close(mode: "kill" | "keep", graceMs: number): Promise<void> {
    if (mode === "kill") await this.#stopAll(graceMs);
    this.#board.close();
    this.#runner.close();
    await this.#jobs.drain();
  }

  async #stopAll(graceMs: number): Promise<void> {
    const running = (): MachineRecord[] =>
      this.#parts.store.live().filter((record) => record.process !== null);
    for (const record of running()) {
      if (record.stop !== null || record.state === "destroying") continue;
      this.#runner.endProcess(record, "stopping", "stopped", { timeoutMs: graceMs });
    }
    for (let waited = 0; waited < graceMs + 1_000 && running().length > 0; waited += 20) await sleep(20);
    for (const record of running()) signalMachine(record.id, record.process, "SIGKILL");
  }

  #failed(id: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#parts.log(`machine ${id}: ${text}`);
    this.#board.event(id, "launch", "failed", "flyd", { error: text });
    this.#board.set(id, { state: "failed", stop: null });
  }
}
