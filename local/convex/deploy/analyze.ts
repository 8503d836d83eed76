import { Worker } from "node:worker_threads";
import { RequestError } from "../engine/errors.ts";
import type { CronSpec } from "./inspect.ts";
import type { AnalyzedFunction, ModuleHash, Schema } from "./pushes.ts";

export interface AnalysisRequest {
  /** Folder that holds the modules. */
  readonly root: string;
  readonly modules: readonly Pick<ModuleHash, "path" | "environment">[];
  readonly schema: boolean;
}

export interface AnalysisReply {
  readonly functions: Record<string, AnalyzedFunction[]>;
  readonly routes: { method: string; path: string }[] | null;
  readonly crons: Record<string, CronSpec>;
  readonly schema: Schema | null;
}

type Message =
  { readonly ok: true; readonly analysis: AnalysisReply } | { readonly ok: false; readonly message: string };

const TIMEOUT_MS = 30_000;

/** Imports pushed code in a fresh thread, so that code which throws or hangs at import cannot reach the running one. */
export async function analyze(
  request: AnalysisRequest,
  env: Readonly<Record<string, string>>,
): Promise<AnalysisReply> {
  const worker = new Worker(new URL("./analyzer.ts", import.meta.url), {
    workerData: request,
    env: { ...env },
    execArgv: ["--disable-warning=ExperimentalWarning"],
    stdout: true,
  });
  worker.stdout.pipe(process.stderr, { end: false });
  let timer: NodeJS.Timeout | undefined;
  try {
    const message = await new Promise<Message>((resolve) => {
      timer = setTimeout(
        () =>
          resolve({ ok: false, message: `The pushed modules did not load within ${TIMEOUT_MS / 1000} s.` }),
        TIMEOUT_MS,
      );
      worker.once("message", resolve);
      worker.once("error", (error) => resolve({ ok: false, message: String(error) }));
      worker.once("exit", () =>
        resolve({ ok: false, message: "The pushed modules ended the process while loading." }),
      );
    });
    if (!message.ok) throw new RequestError(400, "InvalidModules", message.message);
    return message.analysis;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
