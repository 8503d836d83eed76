/** The worker image's own tree as a process, as a machine runs it, and what it tells and takes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { WorkerCredential } from "../../runtime/convex/validators.ts";
import { buildTree } from "../../runtime/worker/image/buildTree.ts";
import { compileCacheDir } from "../../runtime/worker/testing/worker.ts";
import { descendantsOf, openFiles, residentMb } from "../processes.ts";

/** What the worker logs of an answered turn. */
export interface TurnLog {
  messageId: string;
  snapshotMs: number;
  uploadedBytes: number;
}

/** What the worker holds; of the gateway with all that it started. */
export interface Held {
  worker_mb: number;
  worker_open_files: number;
  gateway_mb: number;
  gateway_open_files: number;
}

export class BenchWorker {
  /** By message id. */
  readonly turns = new Map<string, TurnLog>();
  readonly #dir = mkdtempSync(join(tmpdir(), "af-bench-turn-"));
  #process: ChildProcess | null = null;

  /** Builds the tree once; every start runs it. */
  static async build(): Promise<BenchWorker> {
    const worker = new BenchWorker();
    await buildTree({ outDir: join(worker.#dir, "tree"), openclaw: "link" });
    return worker;
  }

  /** Spawns the process, on an empty disk. It is not ready yet. */
  start(convexUrl: string, credential: WorkerCredential, modelUrl: string): void {
    const data = join(this.#dir, "data");
    rmSync(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    mkdirSync(data);
    const child = spawn(process.execPath, [join(this.#dir, "tree/main.js")], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        PATH: process.env["PATH"],
        HOME: data,
        TMPDIR: data,
        DATA_DIR: data,
        CONVEX_URL: convexUrl,
        WORKER_ID: credential.workerId,
        WORKER_TOKEN: credential.token,
        OPENCLAW_AGENT_MODEL: "openai/instant",
        OPENCLAW_MODEL_BASE_URL: modelUrl,
        OPENAI_API_KEY: "bench",
        NODE_COMPILE_CACHE: compileCacheDir,
      },
    });
    this.#process = child;
    if (child.stdout === null) throw new Error("the worker's output is not piped");
    createInterface({ input: child.stdout }).on("line", (line) => {
      const entry = JSON.parse(line) as { msg?: string; kind?: string } & TurnLog;
      if (entry.msg === "Turn ended" && entry.kind === "answered") this.turns.set(entry.messageId, entry);
    });
  }

  /** Resident memory and open files, now. */
  held(): Held {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error("the worker does not run");
    const gateway = descendantsOf(pid);
    return {
      worker_mb: residentMb([pid]),
      worker_open_files: openFiles([pid]),
      gateway_mb: residentMb(gateway),
      gateway_open_files: openFiles(gateway),
    };
  }

  /** SIGKILL: the gateway ends with its worker, and the next start finds an empty disk. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}
