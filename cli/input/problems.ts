import { CliError, usageError } from "../errors.ts";

/** What is wrong with the input of one command, collected, so that all of it is named at once. */
export class Problems {
  readonly #found: string[] = [];

  add(...problems: readonly string[]): void {
    this.#found.push(...problems);
  }

  /** What `read` gives; undefined when it refuses. */
  try<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      this.add(error.message);
      return undefined;
    }
  }

  /** @throws CliError that names every problem, one a line. */
  refuse(): void {
    if (this.#found.length > 0) throw usageError(this.#found.join("\n"));
  }
}
