import type { Command } from "commander";
import type { Backend, Result } from "../backend/client.ts";
import { CliError, exitCodes, notFound } from "../errors.ts";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { ago, duration, parseDuration } from "../output/time.ts";
import { action } from "./session.ts";

type Status = NonNullable<Result<"rolloutStatus">>;

const POLL_MS = 2_000;

/** A phase that lasts longer than this is told again. */
const SIGN_OF_LIFE_MS = 30_000;

const progressOf = (status: Status): string =>
  `revision ${status.revision}: ${status.phase}, ${status.workersNewReady}/${status.workersNew} new workers ready, ${status.workersOld} old`;

/** Waits until the rollout ended, at most `waitMs`. */
async function waitForEnd(
  read: () => Promise<Status>,
  waitMs: number,
  io: Pick<Io, "now" | "pause">,
  note: (text: string) => void,
): Promise<Status> {
  const start = io.now();
  let status = await read();
  let told = { text: "", at: 0 };
  while (!status.finished && io.now() < start + waitMs) {
    const text = progressOf(status);
    if (text !== told.text || io.now() - told.at >= SIGN_OF_LIFE_MS) {
      told = { text, at: io.now() };
      note(`${text} (waiting for ${duration(told.at - start)})`);
    }
    await io.pause(POLL_MS);
    status = await read();
  }
  return status;
}

function readerOf(backend: Backend, revision: number | undefined): () => Promise<Status> {
  return async () => {
    const status = await backend.run("rolloutStatus", revision === undefined ? {} : { revision });
    if (status === null) {
      throw notFound("Runtime config has not been applied yet.", "pulumi up --stack <name>");
    }
    return status;
  };
}

function linesOf(status: Status, now: number): string[] {
  if (status.phase === "none") return [`No rollout; revision ${status.revision} runs ${status.image}`];
  return [
    `Revision ${status.revision}: ${status.phase}${status.reason === null ? "" : ` – ${status.reason}`}`,
    `  to      ${status.image}`,
    `  from    ${status.stableImage ?? "–"} (revision ${status.stableRevision ?? "–"})`,
    `  started ${ago(status.startedAt, now) ?? "–"}, ${status.finishedAt === null ? "under way" : `ended ${ago(status.finishedAt, now)}`}`,
    `  workers ${status.workersNewReady}/${status.workersNew} new ready, ${status.workersOld} old`,
    `  turns   ${status.turnsDone} done, ${status.turnsFailed} failed; ${status.bootFailures} boots failed`,
  ];
}

export function addRollouts(program: Command, io: Io): void {
  program
    .command("rollouts")
    .description("rollouts of images and machine settings")
    .command("status", { isDefault: true })
    .description("the latest rollout, or that of one revision; exit code 1 when it was rolled back")
    .option("--revision <n>", "of the runtime config")
    .option("--wait <duration>", "wait for its end, for example 15m")
    .action(
      action(io, async ({ backend, out }, options: { revision?: string; wait?: string }) => {
        const revision =
          options.revision === undefined
            ? undefined
            : parseWhole("--revision", options.revision, 1, Number.MAX_SAFE_INTEGER);
        const read = readerOf(backend, revision);
        const status =
          options.wait === undefined
            ? await read()
            : await waitForEnd(read, parseDuration("--wait", options.wait), io, (text) => out.note(text));
        // The latest state is the answer to a revision that began no rollout, such as one of policies alone.
        if (revision !== undefined && revision > status.revision) {
          throw notFound(
            `Revision ${revision} has not been applied: revision ${status.revision} is in force.`,
            "npm run factory -- config history",
          );
        }
        out.result(status, () => linesOf(status, io.now()));
        if (status.phase === "rolled_back") {
          throw new CliError(
            exitCodes.failed,
            "rolled_back",
            `The rollout of revision ${status.revision} was rolled back: ${status.reason ?? "no reason recorded"}.`,
            "The previous image serves. Fix the cause, then: pulumi refresh && pulumi up",
          );
        }
        if (options.wait !== undefined && !status.finished) {
          throw new CliError(
            exitCodes.failed,
            "not_finished",
            `The rollout of revision ${status.revision} is still in phase '${status.phase}' after ${options.wait}. It goes on in the backend.`,
            "npm run factory -- workers decisions",
          );
        }
      }),
    );
}
