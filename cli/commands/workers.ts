import type { Command } from "commander";
import { parseWhole } from "../input/numbers.ts";
import type { Io } from "../io.ts";
import { ago, when } from "../output/time.ts";
import { action } from "./session.ts";

const shortImage = (image: string): string => image.replace(/^.*@sha256:([0-9a-f]{12}).*$/, "$1");

export function addWorkers(program: Command, io: Io): void {
  const workers = program
    .command("workers")
    .description("the machines that answer, and why there are so many");

  workers
    .command("list", { isDefault: true })
    .description("live and warm workers")
    .action(
      action(io, async ({ backend, out }) => {
        const stats = await backend.run("workerStats", {});
        const now = io.now();
        out.result(stats, () => [
          `${stats.activeCount} active (${stats.idleCount} idle), ${stats.warmCount} warm; ${stats.machineHoursToday} machine-hours today (UTC)`,
          ...(stats.workers.length === 0
            ? []
            : [
                "",
                ...out.table(
                  [
                    { title: "WORKER", cell: (row) => row.workerId },
                    { title: "STATE", cell: (row) => (row.canary ? `${row.state} (canary)` : row.state) },
                    { title: "LOAD", cell: (row) => `${row.load}/${row.slots}` },
                    { title: "MACHINE", cell: (row) => row.machineId },
                    { title: "REGION", cell: (row) => row.region },
                    { title: "IMAGE", cell: (row) => shortImage(row.image) },
                    { title: "HEARTBEAT", cell: (row) => ago(row.lastHeartbeatAt, now) },
                    { title: "ENDS", cell: (row) => ago(row.scheduledShutdownAt, now) },
                    { title: "DONE", cell: (row) => row.turnsDone, align: "right" },
                    { title: "FAILED", cell: (row) => row.turnsFailed, align: "right" },
                  ],
                  stats.workers,
                ),
              ]),
        ]);
      }),
    );

  workers
    .command("decisions")
    .description("what the scaler decided and why, latest first")
    .option("--limit <n>", "at most 200", "20")
    .action(
      action(io, async ({ backend, out }, options: { limit: string }) => {
        const limit = parseWhole("--limit", options.limit, 1, 200);
        const rows = await backend.run("scalerDecisions", { limit });
        out.result(rows, () =>
          rows.length === 0
            ? ["No decisions yet."]
            : out.table(
                [
                  { title: "AT", cell: (row) => when(row.at) },
                  { title: "DUE", cell: (row) => row.due, align: "right" },
                  { title: "RUNNING", cell: (row) => row.running, align: "right" },
                  { title: "DESIRED", cell: (row) => row.desired, align: "right" },
                  { title: "LIVE", cell: (row) => row.live, align: "right" },
                  { title: "WARM", cell: (row) => row.warm, align: "right" },
                  { title: "DECISION", cell: (row) => row.text },
                ],
                rows,
              ),
        );
      }),
    );

  workers
    .command("reconcile")
    .description("compare with Fly now, and forget every back-off")
    .action(
      action(io, async ({ backend, out, actor }) => {
        const outcome = await backend.run("startWorkers", { actor });
        out.result(outcome, () => [
          `A reconcile runs now; it found ${outcome.activeWorkers} active, ${outcome.spawned} starting, ${outcome.terminated} ending. What it decides: workers decisions`,
        ]);
      }),
    );
}
