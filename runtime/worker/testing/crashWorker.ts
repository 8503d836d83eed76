/**
 * A worker process for fault tests: the real worker on a served fake deployment, which kills itself at a named
 * point of its first turn. Arguments as JSON: {backendUrl, modelUrl, dataDir, siteDir, workerId, crashAt}.
 */
import { join } from "node:path";
import { hashSkills } from "../image/skills.ts";
import { startWorker } from "../src/worker.ts";
import { silentLog } from "./log.ts";
import { remoteBackend } from "./remote.ts";
import { compileCacheDir, openclawDir, testConfig, workerDir } from "./worker.ts";

export interface CrashWorkerOptions {
  backendUrl: string;
  modelUrl: string;
  dataDir: string;
  siteDir: string;
  workerId: string;
  /** A point of a turn, or `model` for the middle of the model's answer. */
  crashAt: string | null;
}

const options = JSON.parse(process.argv[2] ?? "{}") as CrashWorkerOptions;
const skillsDir = join(workerDir, "skills");
const worker = await startWorker({
  config: testConfig(options.dataDir, options.modelUrl, { workerId: options.workerId }),
  image: {
    pluginDir: join(options.siteDir, "plugin"),
    skillsDir,
    skillHashes: new Map(Object.entries(await hashSkills(skillsDir))),
    sourceRevision: "test",
    openclawDir,
    compileCache: { dir: compileCacheDir, portable: false },
  },
  backend: remoteBackend(options.backendUrl, options.workerId),
  log: silentLog,
  startedAt: performance.now(),
  reached: (point) => {
    if (point === options.crashAt) process.kill(process.pid, "SIGKILL");
  },
});
process.on("SIGTERM", () => void worker.stop("SIGTERM"));
process.stdout.write("ready\n");
await worker.stopped;
process.exit(0);
