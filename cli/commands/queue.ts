import type { Command } from "commander";
import type { Id } from "../../runtime/convex/_generated/dataModel.js";
import type { Result } from "../backend/client.ts";
import { parseWhole } from "../input/numbers.ts";
import { oneOf } from "../input/oneOf.ts";
import type { Io } from "../io.ts";
import type { Output } from "../output/output.ts";
import { ago, duration, when } from "../output/time.ts";
import { action } from "./session.ts";

const statuses = ["queued", "processing", "done", "dead_letter", "cancelled"] as const;
const PAGE_MAX = 100;

export type MessagePage = Result<"listJobsByStatus">;

/** A page of messages as lines; also what dead letters show. */
export function messageLines(out: Output, page: MessagePage, now: number): string[] {
  if (page.messages.length === 0) return ["No messages."];
  const lines = out.table(
    [
      { title: "MESSAGE", cell: (row) => row.messageId },
      { title: "CONVERSATION", cell: (row) => row.conversationId },
      { title: "AGENT", cell: (row) => row.agentKey },
      { title: "CREATED", cell: (row) => ago(row.createdAt, now) },
      { title: "DUE", cell: (row) => (row.finishedAt === null ? ago(row.dueAt, now) : null) },
      { title: "TRIES", cell: (row) => `${row.attempts}/${row.maxAttempts}` },
      { title: "LAST ERROR", cell: (row) => row.lastError },
    ],
    page.messages,
  );
  return page.cursor === null ? lines : [...lines, "", `More: --cursor '${page.cursor}'`];
}

/** Options of every paged list. */
export function paged(command: Command): Command {
  return command
    .option("--limit <n>", `rows, at most ${PAGE_MAX}`, "50")
    .option("--cursor <cursor>", "go on where the last page ended");
}

export function pageOf(options: { limit: string; cursor?: string }): {
  numItems: number;
  cursor: string | null;
} {
  return { numItems: parseWhole("--limit", options.limit, 1, PAGE_MAX), cursor: options.cursor ?? null };
}

export function addQueue(program: Command, io: Io): void {
  const queue = program.command("queue").description("messages: what waits, runs and ended");

  queue
    .command("stats")
    .description("exact counts")
    .action(
      action(io, async ({ backend, out }) => {
        const stats = await backend.run("queueStats", {});
        out.result(stats, () => [
          `ready now      ${stats.queuedReady}   in ${stats.conversationsReady} conversations that a worker could serve`,
          `for later      ${stats.queuedDelayed}   retries and scheduled messages`,
          `being answered ${stats.processing}   in ${stats.conversationsLeased} conversations`,
          `dead letters   ${stats.deadLetter}`,
        ]);
      }),
    );

  paged(queue.command("list").description("messages in one status, latest first"))
    .option("--status <status>", statuses.join(", "), "queued")
    .action(
      action(io, async ({ backend, out }, options: { status: string; limit: string; cursor?: string }) => {
        const status = oneOf("--status", options.status, statuses);
        const page = await backend.run("listJobsByStatus", { status, paginationOpts: pageOf(options) });
        out.result(page, () => messageLines(out, page, io.now()));
      }),
    );

  queue
    .command("cancel")
    .description("take a message out, or abort its turn; the person is told")
    .argument("<messageId>")
    .action(
      action(io, async ({ backend, out, actor, confirm }, messageId: string) => {
        await confirm(`Cancel message ${messageId}?`);
        const outcome = await backend.run("cancelMessage", {
          messageId: messageId as Id<"messageQueue">,
          actor,
        });
        const text = {
          cancelled: "Cancelled.",
          requested: "Its turn is running: the worker was told to abort it.",
          none: "It had ended already: nothing was done.",
        }[outcome];
        out.result({ messageId, outcome }, () => [text]);
      }),
    );

  for (const [name, run, description] of [
    ["pause", "pauseConversation", "hold a conversation: its messages wait, all others go on"],
    ["resume", "resumeConversation", "let a held conversation go on"],
  ] as const) {
    queue
      .command(name)
      .description(description)
      .argument("<conversationId>")
      .action(
        action(io, async ({ backend, out, actor }, conversationId: string) => {
          const changed = await backend.run(run, { conversationId, actor });
          out.result({ conversationId, changed }, () => [
            changed ? `${name === "pause" ? "Paused" : "Resumed"} ${conversationId}.` : "It was so already.",
          ]);
        }),
      );
  }

  queue
    .command("timeline")
    .description("when each phase of a conversation's latest messages ended, answered or not")
    .argument("<conversationId>")
    .option("--limit <n>", "messages, at most 50", "10")
    .action(
      action(io, async ({ backend, out }, conversationId: string, options: { limit: string }) => {
        const limit = parseWhole("--limit", options.limit, 1, 50);
        const rows = await backend.run("messageTimeline", { conversationId, limit });
        out.result(rows, () =>
          rows.length === 0
            ? [`No messages of conversation ${conversationId}: \`queue list --status done\` shows the names.`]
            : timelineLines(out, rows),
        );
      }),
    );

  queue
    .command("recover")
    .description("do now what the timers do: take expired leases back, promote what is due, wake workers")
    .action(
      action(io, async ({ backend, out }) => {
        const outcome = await backend.run("recoverQueue", {});
        out.result(outcome, () => [
          `${outcome.released} leases taken back, ${outcome.promoted} messages promoted, ${outcome.woken} workers woken.`,
        ]);
      }),
    );
}

/** Each phase as the time since the one before it. */
function timelineLines(out: Output, rows: Result<"messageTimeline">): string[] {
  const since = (at: number | null, before: number | null): string | null =>
    at === null || before === null ? null : `+${duration(at - before)}`;
  return out.table(
    [
      { title: "MESSAGE", cell: (row) => row.messageId },
      { title: "STATUS", cell: (row) => row.status },
      { title: "ENQUEUED", cell: (row) => when(row.enqueuedAt) },
      { title: "CLAIMED", cell: (row) => since(row.claimedAt, row.enqueuedAt), align: "right" },
      { title: "HYDRATED", cell: (row) => since(row.hydratedAt, row.claimedAt), align: "right" },
      { title: "MODEL", cell: (row) => since(row.modelDoneAt, row.hydratedAt), align: "right" },
      { title: "ANSWERED", cell: (row) => since(row.answeredAt, row.modelDoneAt), align: "right" },
      { title: "DELIVERED", cell: (row) => since(row.deliveredAt, row.answeredAt), align: "right" },
      { title: "WORKER", cell: (row) => row.workerId },
    ],
    rows,
  );
}
