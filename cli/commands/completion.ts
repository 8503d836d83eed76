/** Shell completion: a small script that asks this program, so that it always knows what the program knows. */
import type { Command } from "commander";
import { oneOf } from "../input/oneOf.ts";
import type { Io } from "../io.ts";
import { plainAction } from "./session.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** Command that the scripts call back; hidden from help. */
export const COMPLETE = "__complete";

const scripts: Record<Shell, string> = {
  bash: `_agent_factory() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(agent-factory ${COMPLETE} -- "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _agent_factory agent-factory
`,
  zsh: `#compdef agent-factory
_agent_factory() {
  local -a found
  found=("\${(@f)$(agent-factory ${COMPLETE} -- "\${(@)words[2,CURRENT-1]}" 2>/dev/null)}")
  compadd -- $found
}
compdef _agent_factory agent-factory
`,
  fish: `complete -c agent-factory -f -a '(agent-factory ${COMPLETE} -- (commandline -opc)[2..-1] 2>/dev/null)'
`,
};

/** What may follow these words: subcommands, then options, of the command that they lead to. */
export function candidates(program: Command, words: readonly string[]): string[] {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((child) => child.name() === word || child.aliases().includes(word));
    if (next !== undefined) command = next;
  }
  const visible = command.createHelp().visibleCommands(command);
  const options = [...command.options, ...program.options].filter((option) => !option.hidden);
  return [
    ...visible.map((child) => child.name()).filter((name) => name !== "help"),
    ...new Set(options.flatMap((option) => (option.long === undefined ? [] : [option.long]))),
  ];
}

export function addCompletion(program: Command, io: Io): void {
  program
    .command("completion")
    .description(`print the completion script of a shell: ${shells.join(", ")}`)
    .argument("<shell>")
    .action(
      plainAction(io, ({ out }, name: string) => {
        const shell = oneOf("shell", name, shells);
        out.result({ shell, script: scripts[shell] }, () => [scripts[shell].trimEnd()]);
      }),
    );

  program
    .command(COMPLETE, { hidden: true })
    .argument("[words...]")
    .action(
      plainAction(io, ({ out }, words: string[]) => {
        const found = candidates(program, words);
        out.result(found, () => found);
      }),
    );
}
