/** What a command prints: one JSON document for scripts, or lines for people. Notes go to stderr either way. */
import { styleText } from "node:util";
import type { CliError } from "../errors.ts";
import type { Io, TextSink } from "../io.ts";
import { printable } from "./printable.ts";
import { type Column, tableLines } from "./table.ts";

type Colour = "green" | "red" | "yellow" | "dim" | "bold" | "cyan";

export class Output {
  readonly json: boolean;
  readonly #stdout: TextSink;
  readonly #stderr: TextSink;
  readonly #colours: boolean;
  #printed = false;

  constructor(io: Pick<Io, "stdout" | "stderr" | "env">, json: boolean) {
    this.json = json;
    this.#stdout = io.stdout;
    this.#stderr = io.stderr;
    this.#colours = !json && io.stdout.isTTY === true && !io.env["NO_COLOR"] && io.env["TERM"] !== "dumb";
  }

  paint(colour: Colour, text: string): string {
    return this.#colours ? styleText(colour, text, { validateStream: false }) : text;
  }

  table<Row>(columns: ReadonlyArray<Column<Row>>, rows: readonly Row[]): string[] {
    const width = this.#stdout.isTTY === true ? (this.#stdout.columns ?? null) : null;
    return tableLines(columns, rows, { width, bold: (text) => this.paint("bold", text) });
  }

  /** The command's one result. `lines` is asked only when people read it. */
  result(value: unknown, lines: () => readonly string[]): void {
    if (this.#printed) throw new Error("a command prints one result");
    this.#printed = true;
    this.#stdout.write(
      this.json
        ? `${JSON.stringify(value ?? null, null, 2)}\n`
        : lines()
            .map((line) => `${line}\n`)
            .join(""),
    );
  }

  /** Progress, beside the result. */
  note(text: string): void {
    this.#stderr.write(`${printable(text)}\n`);
  }

  /** A failure is the result of its command: with --json a document of its own, unless one was printed. */
  failure(error: CliError): void {
    if (this.json && !this.#printed) {
      const { code, message, next, exitCode } = error;
      this.result({ error: { code, message, next, exitCode } }, () => []);
      return;
    }
    const message = error.message.split("\n").map(printable).join("\n");
    this.#stderr.write(`${this.paint("red", "error")} ${message}\n`);
    if (error.next !== null) this.#stderr.write(`  → ${error.next}\n`);
  }
}
