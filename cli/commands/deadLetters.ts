import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import { usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { messageLines, paged, pageOf } from "./queue.ts";
import { action } from "./session.ts";

/** The backend does this many in one call and the rest by itself. */
const IDS_MAX = 500;

/** Which messages are meant: those named, or all of them, which has to be said. */
function selection(
  messageIds: string[],
  all: boolean | undefined,
): { messageIds?: Array<Id<"messageQueue">> } {
  if (all === true && messageIds.length > 0) throw usageError("Give message ids or --all, not both.");
  if (all === true) return {};
  if (messageIds.length === 0) throw usageError("Which? Give message ids, or --all.");
  if (messageIds.length > IDS_MAX)
    throw usageError(`At most ${IDS_MAX} message ids in one command; or --all.`);
  return { messageIds: messageIds as Array<Id<"messageQueue">> };
}

const inWords = (messageIds: string[]): string =>
  messageIds.length === 0 ? "all dead letters" : `${messageIds.length} dead letter(s)`;

const rest = (more: boolean): string => (more ? " The rest follows by itself." : "");

export function addDeadLetters(program: Command, io: Io): void {
  const deadLetters = program.command("dead-letters").description("messages that were given up");

  paged(deadLetters.command("list").description("latest first, without what was said")).action(
    action(io, async ({ backend, out }, options: { limit: string; cursor?: string }) => {
      const page = await backend.run("listDeadLetters", { paginationOpts: pageOf(options) });
      out.result(page, () => messageLines(out, page, io.now()));
    }),
  );

  deadLetters
    .command("replay")
    .description("back to the end of their conversations' lines, with all their attempts")
    .argument("[messageIds...]")
    .option("--all", "everything that was given up before now")
    .action(
      action(
        io,
        async ({ backend, out, actor, confirm }, messageIds: string[], options: { all?: boolean }) => {
          const chosen = selection(messageIds, options.all);
          await confirm(`Replay ${inWords(messageIds)}?`);
          const outcome = await backend.run("replayDeadLetters", { ...chosen, actor });
          out.result(outcome, () => [`${outcome.replayed} replayed.${rest(outcome.more)}`]);
        },
      ),
    );

  deadLetters
    .command("discard")
    .description("end them as cancelled; retention deletes them")
    .argument("[messageIds...]")
    .option("--all", "everything that was given up before now")
    .action(
      action(
        io,
        async ({ backend, out, actor, confirm }, messageIds: string[], options: { all?: boolean }) => {
          const chosen = selection(messageIds, options.all);
          await confirm(`Discard ${inWords(messageIds)}? This cannot be undone.`);
          const outcome = await backend.run("discardDeadLetters", { ...chosen, actor });
          out.result(outcome, () => [`${outcome.discarded} discarded.${rest(outcome.more)}`]);
        },
      ),
    );
}
