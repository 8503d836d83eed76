// Stand-in for Pulumi's `command` plugin (its local half), used only where the real one cannot be had.
import { connectEngineLog } from "../engineLog.ts";
import { serveProvider } from "../provider.ts";
import { engineAddress } from "../server.ts";
import { localCommand, localRun } from "./resources.ts";
import { ShellRunner } from "./shell.ts";

const runner = new ShellRunner();
const log = connectEngineLog(engineAddress());

await serveProvider({
  name: "command",
  version: "1.2.1",
  resources: {
    "command:local:Command": localCommand(
      (shell) => runner.run(shell),
      (urn, line) => log.status(urn, line),
    ),
  },
  functions: { "command:local:run": localRun((shell) => runner.run(shell)) },
  cancel: () => runner.cancel(),
});
