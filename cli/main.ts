/** `npm run factory -- …`: operates an environment. */
import { exitCodes } from "./errors.ts";
import { processIo } from "./processIo.ts";
import { run } from "./run.ts";

/** Why something that was to be shown could not be; a reader that has gone (`| head -1`) is none. */
let unwritten: NodeJS.ErrnoException | null = null;

// Whatever becomes of the words, the command goes on to its end: it may be half-way through what it does.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") unwritten ??= error;
  });
}

process.exitCode = await run(process.argv.slice(2), processIo());
process.once("exit", () => {
  if (unwritten === null) return;
  process.stderr.write(`error The output cannot be written (${unwritten.code ?? unwritten.message}).\n`);
  if (process.exitCode === exitCodes.ok) process.exitCode = exitCodes.failed;
});
