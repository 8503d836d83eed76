import type { Command } from "commander";
import { CliError, exitCodes } from "../errors.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

/** Up to a hundred machines at Fly's one call a second. */
const TIMEOUT_MS = 5 * 60_000;

export function addCleanup(program: Command, io: Io): void {
  program
    .command("cleanup")
    .description(
      "destroy machines and volumes of this environment that nothing uses; runs by itself every night",
    )
    .option("--dry-run", "only say what would go")
    .action(
      action(io, async ({ backend, out, actor, confirm }, options: { dryRun?: boolean }) => {
        const dryRun = options.dryRun === true;
        if (!dryRun) await confirm("Destroy machines and volumes that nothing uses?");
        const report = await backend.run("runFlyCleanup", { dryRun, actor }, { timeoutMs: TIMEOUT_MS });
        const list = (title: string, names: readonly string[]): string[] =>
          names.length === 0 ? [] : [`${title}: ${names.join(", ")}`];
        const verb = dryRun ? "would be " : "";
        out.result(report, () => [
          `${report.machinesListed} machines and ${report.volumesListed} volumes seen, ${report.foreign} of others (never touched)`,
          ...list(`machines ${verb}destroyed`, report.destroyedMachines),
          ...list(`volumes ${verb}deleted`, report.deletedVolumes),
          ...list("not yet: their grace runs", report.waiting),
          ...list("failed", report.failed),
        ]);
        if (report.failed.length > 0) {
          throw new CliError(
            exitCodes.failed,
            "cleanup_failed",
            `${report.failed.length} could not be removed.`,
            "The next night takes what is left.",
          );
        }
      }),
    );
}
