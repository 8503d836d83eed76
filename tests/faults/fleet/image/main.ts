/** Entry of the test image: the real worker's process with the test engine. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { runWorkerProcess } from "../../../../runtime/worker/src/run.ts";
import { createTestEngine } from "./engine.ts";

await runWorkerProcess(dirname(fileURLToPath(import.meta.url)), { makeEngine: createTestEngine });
