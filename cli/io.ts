/** Everything of the process that a command touches, so that tests can stand in for it. */
export interface Io {
  /** Root folder of the project. */
  root: string;
  env: Readonly<Record<string, string | undefined>>;
  stdin: AsyncIterable<Uint8Array | string> & { isTTY?: boolean | undefined };
  stdout: TextSink;
  stderr: TextSink;
  /** Milliseconds since the epoch on this machine; only for showing how long ago something was. */
  now(): number;
  pause(ms: number): Promise<void>;
  /** Asks at the terminal. */
  ask: Asker;
  /** Outputs of a Pulumi stack, secrets left out. @throws CliError when it cannot be read. */
  stackOutputs(stack: string): Promise<Record<string, unknown>>;
  /** Runs one of the project's own programs with Node. */
  runProgram(file: string, args: readonly string[], stdin: string | null): Promise<ProgramRun>;
  userName: string;
}

export interface TextSink {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
}

export interface Asker {
  /** What is typed is not shown. @throws CliError when the person interrupts. */
  hidden(question: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
}

export interface ProgramRun {
  code: number;
  /** Empty when the program wrote to the terminal itself (no stdin was given). */
  stdout: string;
  stderr: string;
}
