/**
 * `npm run local`: keeps one environment running until it is stopped. State stays in .local/env, so the next
 * start resumes with the same conversations. `--destroy` runs `pulumi destroy` before it ends.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  announceEnvironment,
  forgetEnvironment,
  type LocalEnvironment,
  projectRoot,
  startEnvironment,
} from "./environment/environment.ts";
import { readFlags } from "./environment/flags.ts";
import { endLeftovers } from "./environment/leftovers.ts";
import { takeEnvironment } from "./environment/oneAtATime.ts";
import { outputLines } from "./environment/outputs.ts";
import { outliveReaders } from "./environment/readers.ts";
import { progressFilter } from "./environment/pulumiProgress.ts";
import type { LostService } from "./environment/services.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);
const indented = (line: string): void => say(`  ${line}`);

const stateDir = join(projectRoot, ".local", "env");
const INTERRUPTED = 130;
const AGAIN = "`npm run local` goes on from here.";

/** Shows the end of what the engine said. */
const lastLines = (output: string): string => output.split("\n").slice(-40).join("\n");

outliveReaders();

async function main(): Promise<number> {
  const flags = readFlags(process.argv.slice(2), "npm run local", {
    destroy: "runs `pulumi destroy` when it is stopped; the next start is a new environment",
  });
  if ("print" in flags) {
    (flags.exitCode === 0 ? say : complain)(flags.print);
    return flags.exitCode;
  }
  takeEnvironment(
    stateDir,
    "local/main.ts",
    "Talk to it with `npm run chat`, or stop it with Ctrl-C in its own terminal.",
  );
  let stopping = false;
  const running: { environment?: LocalEnvironment } = {};
  const stopAsked = new Promise<null>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => {
        // Nothing that is worth an orderly end has begun.
        if (running.environment === undefined) {
          endLeftovers(stateDir);
          process.exit(INTERRUPTED);
        }
        stopping = true;
        resolve(null);
        // A terminal's Ctrl-C reaches the engine by itself, and it takes a second one as the order to break off.
        const engine = running.environment.stack.running;
        if (signal !== "SIGINT" && engine !== null) process.kill(engine, "SIGINT");
      });
    }
  });
  const ended = endLeftovers(stateDir);
  if (ended > 0) say(`The last run was cut off: ended ${ended} process(es) that it had left.`);
  const resumed = existsSync(join(stateDir, "addresses.json"));
  say(`${resumed ? "Resuming" : "Starting"} the local environment in ${stateDir}`);
  const environment = await startEnvironment({
    stateDir,
    progress: (name, address) => say(`  ${name.padEnd(9)} ${address}`),
  });
  running.environment = environment;
  const { cloud, stack } = environment;
  try {
    say("pulumi up --stack local");
    const up = await stack.up(progressFilter(indented));
    if (stopping) {
      say(`\nStopped before it was up; ${AGAIN}`);
      return INTERRUPTED;
    }
    if (up.code !== 0) {
      throw new Error(
        `pulumi up failed:\n${lastLines(up.output)}\nCorrect the cause and run it again: ${AGAIN}`,
      );
    }
    announce(environment, await stack.outputs());
    const lost = await Promise.race([stopAsked, cloud.lost]);
    if (lost !== null && !stopping) throw new Error(lossOf(lost));
    say("\nStopping…");
    if (flags.given.has("destroy")) {
      const destroyed = await stack.destroy(progressFilter(indented));
      if (destroyed.code !== 0) throw new Error(`pulumi destroy failed:\n${lastLines(destroyed.output)}`);
      say("Destroyed and stopped; the next `npm run local` makes a new environment.");
      return 0;
    }
    say(`Stopped; ${AGAIN}`);
    return 0;
  } finally {
    forgetEnvironment();
    await cloud.stop();
  }
}

function announce(environment: LocalEnvironment, outputs: Record<string, unknown>): void {
  for (const line of outputLines(outputs)) indented(line);
  const file = announceEnvironment(environment, outputs);
  say(`\nReady. Addresses: ${file}`);
  say(`  talk to the agent:  npm run chat`);
  say(`  chat transcripts:   ${environment.cloud.telegram.url}/`);
  say(`  operate it:         npm run factory -- --help`);
  say(`  logs:               ${stateDir}/*.log`);
  say("Ctrl-C stops it; what people wrote stays.");
}

const lossOf = ({ name, how, log }: LostService): string =>
  `The embedded ${name} service ended (${how}), so that the environment is stopped.\nIts log: ${log}\n${AGAIN}`;

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    complain(error instanceof Error ? error.message : String(error));
    process.exit(1);
  },
);
