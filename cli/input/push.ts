/** The options of everything that pushes: a title, a text, a schedule and its zone, checked all at once. */
import type { Command } from "commander";
import { pushProblems } from "../../runtime/convex/policy/push.ts";
import type { PushSchedule } from "../../runtime/convex/policy/schedule.ts";
import { usageError } from "../errors.ts";
import { Problems } from "./problems.ts";
import { parseSchedule, SCHEDULE_FORMS } from "./pushSchedule.ts";
import { readTextFile } from "./textFile.ts";

export interface PushOptions {
  title?: string;
  text?: string;
  textFile?: string;
  schedule?: string;
  zone?: string;
}

export interface PushInput {
  title?: string;
  text?: string;
  schedule?: PushSchedule;
  timeZone?: string;
}

const flags: Record<keyof PushInput, string> = {
  title: "--title",
  text: "--text",
  schedule: "--schedule",
  timeZone: "--zone",
};

const missing: Record<keyof PushInput, string> = {
  title: "--title <title> is missing.",
  text: "Give the text once: --text <text> or --text-file <file>.",
  schedule: `--schedule <when> is missing: ${SCHEDULE_FORMS}.`,
  timeZone: "--zone <zone> is missing: the person's IANA zone, for example Europe/Rome.",
};

export function withWords(command: Command): Command {
  return command
    .option("--title <title>", "what lists call it; the agent sees it, too")
    .option("--text <text>", "what the agent is told to do")
    .option("--text-file <file>", "the same from a file");
}

export function withSchedule(command: Command): Command {
  return command.option("--schedule <when>", SCHEDULE_FORMS);
}

export function withZone(command: Command): Command {
  return command.option("--zone <zone>", "the IANA zone of its times, for example Europe/Rome");
}

/**
 * Reads what was given; `needed` must be.
 *
 * @param problems what is wrong with the command's other input; told together
 * @throws CliError that names every wrong or missing option
 */
export function readPush<Needed extends keyof PushInput>(
  options: PushOptions,
  needed: readonly Needed[],
  problems: Problems = new Problems(),
): PushInput & Required<Pick<PushInput, Needed>> {
  const { title, text, textFile, schedule, zone } = options;
  const wasGiven: Record<keyof PushInput, boolean> = {
    title: title !== undefined,
    text: (text ?? textFile) !== undefined,
    schedule: schedule !== undefined,
    timeZone: zone !== undefined,
  };
  const read: { [Field in keyof PushInput]: PushInput[Field] | undefined } = {
    title,
    text: problems.try(() => textOf(options)),
    schedule: problems.try(() =>
      schedule === undefined ? undefined : parseSchedule("--schedule", schedule),
    ),
    timeZone: zone,
  };
  for (const field of Object.keys(flags) as Array<keyof PushInput>) {
    if (wasGiven[field]) {
      const wrong = pushProblems({ [field]: read[field] });
      problems.add(...wrong.map((problem) => `${flags[field]}: ${problem}`));
    } else if ((needed as ReadonlyArray<keyof PushInput>).includes(field)) {
      problems.add(missing[field]);
    }
  }
  problems.refuse();
  const given = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
  // What is needed and not there has been refused.
  return given as PushInput & Required<Pick<PushInput, Needed>>;
}

function textOf({ text, textFile }: PushOptions): string | undefined {
  if (text !== undefined && textFile !== undefined) throw usageError(missing.text);
  return textFile === undefined ? text : readTextFile("--text-file", textFile).trim();
}
