/**
 * `npm run local`: keeps one environment running until it is stopped. State stays in .local/env, so the next
 * start resumes with the same conversations. `--destroy` runs `pulumi destroy` before it ends.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  announceEnvironment,
  forgetEnvironment,
  projectRoot,
  startEnvironment,
} from "./environment/environment.ts";
import { endLeftovers } from "./environment/leftovers.ts";
import { progressFilter } from "./environment/pulumiProgress.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

const stateDir = join(projectRoot, ".local", "env");

async function main(): Promise<void> {
  const ended = endLeftovers(stateDir);
  if (ended > 0) say(`The last run was cut off: ended ${ended} process(es) that it had left.`);
  const resumed = existsSync(join(stateDir, "addresses.json"));
  say(`${resumed ? "Resuming" : "Starting"} the local environment in ${stateDir}`);
  const environment = await startEnvironment({
    stateDir,
    progress: (name, address) => say(`  ${name.padEnd(9)} ${address}`),
  });
  const stopAsked = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  try {
    say("pulumi up --stack local");
    const up = await environment.stack.up(progressFilter((line) => say(`  ${line}`)));
    if (up.code !== 0) {
      throw new Error(
        `pulumi up failed:\n${up.output.split("\n").slice(-40).join("\n")}\nCorrect the cause and run \`npm run local\` again: it goes on from here.`,
      );
    }
    const outputs = await environment.stack.outputs();
    for (const [name, value] of Object.entries(outputs)) say(`  ${name}: ${JSON.stringify(value)}`);
    const file = announceEnvironment(environment, outputs);
    say(`\nReady. Addresses: ${file}`);
    say(`  talk to the agent:  npm run chat`);
    say(`  chat transcripts:   ${environment.cloud.telegram.url}/`);
    say(`  operate it:         npm run factory -- --help`);
    say(`  logs:               ${stateDir}/*.log`);
    say("Ctrl-C stops it; what people wrote stays.");
    await stopAsked;
    say("\nStopping…");
    if (process.argv.includes("--destroy")) {
      const destroyed = await environment.stack.destroy(progressFilter((line) => say(`  ${line}`)));
      if (destroyed.code !== 0)
        throw new Error(`pulumi destroy failed:\n${destroyed.output.split("\n").slice(-30).join("\n")}`);
    }
  } finally {
    forgetEnvironment();
    await environment.cloud.stop();
  }
}

main().catch((error: unknown) => {
  complain(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
