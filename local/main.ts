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

const stateDir = join(projectRoot, ".local", "env");

async function main(): Promise<void> {
  const ended = endLeftovers(stateDir);
  if (ended > 0) console.log(`The last run was cut off: ended ${ended} process(es) that it had left.`);
  const resumed = existsSync(join(stateDir, "addresses.json"));
  console.log(`${resumed ? "Resuming" : "Starting"} the local environment in ${stateDir}`);
  const environment = await startEnvironment({
    stateDir,
    progress: (name, address) => console.log(`  ${name.padEnd(9)} ${address}`),
  });
  const stopAsked = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  try {
    console.log("pulumi up --stack local");
    const up = await environment.stack.up(progressFilter((line) => console.log(`  ${line}`)));
    if (up.code !== 0) {
      throw new Error(
        `pulumi up failed:\n${up.output.split("\n").slice(-40).join("\n")}\nCorrect the cause and run \`npm run local\` again: it goes on from here.`,
      );
    }
    const outputs = await environment.stack.outputs();
    for (const [name, value] of Object.entries(outputs)) console.log(`  ${name}: ${JSON.stringify(value)}`);
    const file = announceEnvironment(environment, outputs);
    console.log(`\nReady. Addresses: ${file}`);
    console.log(`  talk to the agent:  npm run chat`);
    console.log(`  chat transcripts:   ${environment.cloud.telegram.url}/`);
    console.log(`  operate it:         npm run factory -- --help`);
    console.log(`  logs:               ${stateDir}/*.log`);
    console.log("Ctrl-C stops it; what people wrote stays.");
    await stopAsked;
    console.log("\nStopping…");
    if (process.argv.includes("--destroy")) {
      const destroyed = await environment.stack.destroy(progressFilter((line) => console.log(`  ${line}`)));
      if (destroyed.code !== 0)
        throw new Error(`pulumi destroy failed:\n${destroyed.output.split("\n").slice(-30).join("\n")}`);
    }
  } finally {
    forgetEnvironment();
    await environment.cloud.stop();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
