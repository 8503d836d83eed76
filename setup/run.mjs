// node setup/run.mjs <file> [arguments…]: runs one of the project's TypeScript programs on the project's own Node,
// from whatever Node the machine has, or says that the set-up is missing.
import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { isExecutable, root } from "./pulumi.mjs";

/** The first Node that runs TypeScript as the project writes it. */
const majorMin = 24;
/** As the operator CLI documents it: nothing to work with. */
const usageExitCode = 2;

/**
 * Becomes that program: its arguments, its exit code.
 * @param {string} file from the project's root
 * @param {readonly string[]} args
 */
export async function start(file, args) {
  const node = join(root, "node_modules", ".bin", "node");
  if (!isExecutable(node)) {
    process.stderr.write("Agent Factory is not set up here. Run: node setup/main.mjs\n");
    process.exitCode = usageExitCode;
    return;
  }
  const program = join(root, file);
  const [major = 0] = process.versions.node.split(".").map(Number);
  if (major >= majorMin) {
    process.argv = [process.execPath, program, ...args];
    await import(pathToFileURL(program).href);
    return;
  }
  const child = spawn(node, [program, ...args], { stdio: "inherit" });
  // A terminal's Ctrl-C reaches the program by itself; how it ends is its own affair.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.once("error", (error) => {
    process.stderr.write(`${node} cannot be run: ${error.message}\n`);
    process.exitCode = usageExitCode;
  });
  child.once("exit", (code) => {
    process.exitCode = code ?? 1;
  });
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file = "", ...args] = process.argv.slice(2);
  await start(file, args);
}
