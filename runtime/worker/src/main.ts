/** Entry of the image. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { runWorkerProcess } from "./run.ts";

await runWorkerProcess(dirname(fileURLToPath(import.meta.url)));
