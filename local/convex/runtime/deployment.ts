import type { Engine } from "../engine/engine.ts";
import type { Environment } from "./environment.ts";
import type { Executor } from "./executor.ts";
import type { Files } from "./files.ts";
import type { Scheduler } from "./scheduler.ts";

/** The parts of a running deployment, for the code that joins them: syscalls and host requests. */
export interface Deployment {
  readonly engine: Engine;
  readonly executor: Executor;
  readonly files: Files;
  readonly scheduler: Scheduler;
  readonly environment: Environment;
  readonly name: string;
}
