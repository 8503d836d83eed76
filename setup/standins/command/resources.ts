import { randomBytes } from "node:crypto";

import type { Operation, ResourceType } from "../provider.ts";
import { hasSecret, reveal, secret, secretStrings, unknown, type Properties, type Value } from "../values.ts";
import type { Shell, ShellOutput } from "./shell.ts";

/** Runs one command to its end. */
export type Run = (shell: Shell) => Promise<ShellOutput>;
/** Shows a line beside the resource. */
export type Show = (urn: string, line: string) => void;

/** A command without a custom timeout still ends: one hour, in milliseconds. */
const defaultTimeoutMs = 60 * 60 * 1_000;

const inputs = [
  "addPreviousOutputInEnv",
  "create",
  "delete",
  "dir",
  "environment",
  "interpreter",
  "logging",
  "stdin",
  "triggers",
  "update",
];

/** `command:local:Command` as Pulumi's plugin has it, without assetPaths and archivePaths. */
export function localCommand(run: Run, show: Show): ResourceType {
  const execute = async (
    command: string,
    properties: Properties,
    previous: Properties,
    operation: Operation,
  ) => run(shellOf(command, properties, previous, operation, show));

  return {
    inputs,
    required: [],
    replaceOn: ["triggers"],
    validate: (given) => loggingProblem(reveal(given["logging"] ?? null)),
    async create(given, operation) {
      if (operation.preview) return { id: "", state: { ...given, stdout: unknown, stderr: unknown } };
      const command = text(given["create"]);
      const output = command === undefined ? nothing : await execute(command, given, {}, operation);
      return { id: `command-${randomBytes(8).toString("hex")}`, state: stateOf(given, output) };
    },
    async update(olds, news, operation) {
      if (operation.preview) return { ...news, stdout: unknown, stderr: unknown };
      const command = text(news["update"]) ?? text(news["create"]);
      // Without a command to run, what the last one wrote stays.
      if (command === undefined) return { ...news, ...outputsOf(olds) };
      return stateOf(news, await execute(command, news, olds, operation));
    },
    async delete(state, operation) {
      const command = text(state["delete"]);
      if (command !== undefined) await execute(command, state, state, operation);
    },
  };
}

/** `command:local:run`: runs in previews too, keeps nothing. */
export function localRun(run: Run) {
  return async (args: Properties): Promise<Properties> => {
    const command = text(args["command"]);
    if (command === undefined) throw new Error("command: missing required property");
    const operation: Operation = { urn: "", preview: false, timeoutMs: undefined };
    return stateOf(args, await run(shellOf(command, args, {}, operation, () => undefined)));
  };
}

const nothing: ShellOutput = { stdout: "", stderr: "" };

function shellOf(
  command: string,
  properties: Properties,
  previous: Properties,
  operation: Operation,
  show: Show,
): Shell {
  const plain = reveal(properties) as Properties;
  const logging = plain["logging"] ?? "stdoutAndStderr";
  const interpreter = plain["interpreter"] as string[] | undefined;
  return {
    command,
    interpreter: interpreter && interpreter.length > 0 ? interpreter : ["/bin/sh", "-c"],
    dir: text(plain["dir"]),
    environment: {
      ...(plain["environment"] as Record<string, string> | undefined),
      ...(plain["addPreviousOutputInEnv"] === false ? {} : previousOutput(previous)),
    },
    stdin: text(plain["stdin"]) ?? "",
    timeoutMs: operation.timeoutMs ?? defaultTimeoutMs,
    secrets: [...secretStrings(properties), ...secretStrings(previous)],
    shown: {
      stdout: logging === "stdout" || logging === "stdoutAndStderr",
      stderr: logging === "stderr" || logging === "stdoutAndStderr",
    },
    onLine: (line) => show(operation.urn, line),
  };
}

function previousOutput(previous: Properties): Record<string, string> {
  const [stdout, stderr] = [text(previous["stdout"]), text(previous["stderr"])];
  return {
    ...(stdout ? { PULUMI_COMMAND_STDOUT: stdout } : {}),
    ...(stderr ? { PULUMI_COMMAND_STDERR: stderr } : {}),
  };
}

/** Every output depends on every input: one secret input makes the outputs secret. */
function stateOf(given: Properties, output: ShellOutput): Properties {
  const mark = hasSecret(given) ? secret : (value: Value) => value;
  return { ...given, stdout: mark(output.stdout), stderr: mark(output.stderr) };
}

function outputsOf(state: Properties): Properties {
  return { stdout: state["stdout"] ?? "", stderr: state["stderr"] ?? "" };
}

function loggingProblem(logging: Value) {
  const known = ["stdout", "stderr", "stdoutAndStderr", "none", unknown];
  if (logging === null || (typeof logging === "string" && known.includes(logging))) return [];
  return [{ property: "logging", reason: "must be stdout, stderr, stdoutAndStderr or none" }];
}

function text(value: Value | undefined): string | undefined {
  const plain = reveal(value ?? null);
  return typeof plain === "string" ? plain : undefined;
}
