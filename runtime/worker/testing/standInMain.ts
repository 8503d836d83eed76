/** What a stand-in's `openclaw.mjs` loads: `<openclawDir>/openclaw.mjs gateway run --port <port>`. */
import { dirname, join } from "node:path";
import { FAULT_FILE, runStandIn } from "./standIn.ts";

runStandIn(Number(process.argv.at(-1)), join(dirname(process.argv[1] ?? ""), FAULT_FILE));
