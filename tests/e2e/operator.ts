/** An operator at the command line: the CLI as a process of its own, against one environment. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { projectRoot } from "../../local/environment/environment.ts";
import type { Cloud } from "../../local/environment/services.ts";

const COMMAND_MS = 60_000;

export class Operator {
  readonly #convex: Cloud["convex"];

  constructor(convex: Cloud["convex"]) {
    this.#convex = convex;
  }

  /** Runs one command and returns what `--json` prints. @throws with its stderr on any exit code but 0. */
  async run<T>(...command: string[]): Promise<T> {
    const { url, adminKeyFile } = this.#convex;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["cli/main.ts", "--convex-url", url, "--json", "--yes", ...command],
      {
        cwd: projectRoot,
        timeout: COMMAND_MS,
        env: {
          PATH: process.env["PATH"],
          HOME: process.env["HOME"],
          CONVEX_SELF_HOSTED_ADMIN_KEY: readFileSync(adminKeyFile, "utf8").trim(),
        },
      },
    );
    return JSON.parse(stdout) as T;
  }
}
