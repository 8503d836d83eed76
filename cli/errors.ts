/** What a command may end with. Documented in docs/operations.md; scripts may rely on it. */
export const exitCodes = {
  ok: 0,
  /** The backend refused, or what was asked for did not come to pass. */
  failed: 1,
  /** Wrong arguments, or nothing to connect with: nothing was sent. */
  usage: 2,
  /** What the arguments name does not exist. */
  notFound: 3,
  /** The deployment cannot be reached: nothing was done. */
  unreachable: 4,
  /** No answer came: it may have been done. Look before you repeat it. */
  unknown: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A failure that a person can act on: shown as its message and what to run next, without a stack. */
export class CliError extends Error {
  override name = "CliError";
  readonly exitCode: ExitCode;
  /** Code of the backend's error, or the CLI's own; for scripts. */
  readonly code: string;
  /** A command or an act that helps. */
  readonly next: string | null;

  constructor(exitCode: ExitCode, code: string, message: string, next: string | null = null) {
    super(message);
    this.exitCode = exitCode;
    this.code = code;
    this.next = next;
  }
}

/** A failure that its command has shown already: only the exit code is left. */
export class Reported extends Error {
  override name = "Reported";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode) {
    super(`ended with ${exitCode}`);
    this.exitCode = exitCode;
  }
}

export function usageError(message: string, next: string | null = null): CliError {
  return new CliError(exitCodes.usage, "usage", message, next);
}

export function notFound(message: string, next: string | null = null): CliError {
  return new CliError(exitCodes.notFound, "not_found", message, next);
}
