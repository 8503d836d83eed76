import type { Command } from "commander";
import { CliError, exitCodes } from "../errors.ts";
import type { Io } from "../io.ts";
import { action } from "./session.ts";

/** It asks Fly, the registry and Telegram in turn. */
const TIMEOUT_MS = 120_000;

export function addDoctor(program: Command, io: Io): void {
  program
    .command("doctor")
    .description(
      "what is wrong with the environment, and the command that mends it; exit code 1 for an error",
    )
    .option("--strict", "warnings count as errors, for example a token that ends soon")
    .action(
      action(io, async ({ backend, out, target }, options: { strict?: boolean }) => {
        const report = await backend.run("doctor", {}, { timeoutMs: TIMEOUT_MS });
        out.result(report, () =>
          report.problems.length === 0
            ? [`${out.paint("green", "ok")}  ${target.name} is in order.`]
            : report.problems.flatMap(({ severity, message, command }) => [
                `${out.paint(severity === "error" ? "red" : "yellow", severity.padEnd(7))}  ${message}`,
                `         → ${command}`,
              ]),
        );
        const counted = report.problems.filter(
          ({ severity }) => severity === "error" || options.strict === true,
        ).length;
        if (counted > 0) {
          throw new CliError(exitCodes.failed, "not_in_order", `${counted} problem(s) in ${target.name}.`);
        }
      }),
    );
}
