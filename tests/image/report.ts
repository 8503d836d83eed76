/** One line per check, and a last one that counts them. */
export class Report {
  #passed = 0;
  #failed = 0;

  /** @param work throws when the check fails; what it returns is a figure to show beside the title. */
  async check(title: string, work: () => Promise<string | void>): Promise<void> {
    try {
      const figure = await work();
      this.#passed += 1;
      console.info(`ok      ${title}${typeof figure === "string" ? `: ${figure}` : ""}`);
    } catch (error) {
      this.#failed += 1;
      console.info(`FAILED  ${title}\n        ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** @returns the exit code. */
  close(): number {
    console.info(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 ? 0 : 1;
  }
}
