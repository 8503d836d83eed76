/** Flags of a command that stands up an environment: a misspelt one is told before anything starts. */
import { parseArgs } from "node:util";

/** Flags that were given; or what to print, and the exit code to end with. */
export type Flags<F extends string> = { given: ReadonlySet<F> } | { print: string; exitCode: 0 | 2 };

/**
 * @param command as people type it, for the usage.
 * @param known each flag's name without dashes, and what it does.
 */
export function readFlags<F extends string>(
  argv: readonly string[],
  command: string,
  known: Readonly<Record<F, string>>,
): Flags<F> {
  const names = Object.keys(known) as F[];
  const usage = [
    names.length === 0 ? command : `${command} -- [${names.map((name) => `--${name}`).join("] [")}]`,
    ...names.map((name) => `  --${name}  ${known[name]}`),
  ].join("\n");
  const options = Object.fromEntries([...names, "help"].map((name) => [name, { type: "boolean" as const }]));
  try {
    const { values } = parseArgs({ args: [...argv], options });
    if (values["help"] === true) return { print: usage, exitCode: 0 };
    return { given: new Set(names.filter((name) => values[name] === true)) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { print: `${message}\n${usage}`, exitCode: 2 };
  }
}
