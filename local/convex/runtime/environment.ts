import type { Engine } from "../engine/engine.ts";
import { RequestError } from "../engine/errors.ts";

/** Convex's limits: 100 variables, names of 40 characters, values of 8 KiB. */
const MAX_VARIABLES = 100;
const MAX_NAME = 40;
const MAX_VALUE_BYTES = 8 * 1024;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Environment variables: rows of the database, visible to function code as `process.env`. */
export class Environment {
  readonly #engine: Engine;
  readonly #builtIn: Readonly<Record<string, string>>;

  /** @param builtIn variables that the deployment itself defines and nobody may change */
  constructor(engine: Engine, builtIn: Readonly<Record<string, string>>) {
    this.#engine = engine;
    this.#builtIn = builtIn;
    this.#publish();
  }

  /** What was set, without the built-in variables. */
  all(): Record<string, string> {
    const rows = this.#engine.store.sql("SELECT name, value FROM env ORDER BY name").all();
    return Object.fromEntries(rows.map((row) => [row["name"] as string, row["value"] as string]));
  }

  /** Sets and, with a null value, removes variables; all or none. */
  update(changes: readonly { readonly name: string; readonly value: string | null }[]): void {
    for (const change of changes) this.#check(change);
    const after = new Set([
      ...Object.keys(this.all()),
      ...changes.flatMap(({ name, value }) => (value === null ? [] : [name])),
    ]);
    if (after.size > MAX_VARIABLES) {
      throw new RequestError(
        400,
        "TooManyEnvironmentVariables",
        `A deployment holds at most ${MAX_VARIABLES} environment variables.`,
      );
    }
    this.#engine.touch(
      changes.map(({ name, value }) => (store) => {
        if (value === null) store.sql("DELETE FROM env WHERE name = ?").run(name);
        else
          store
            .sql("INSERT INTO env VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value")
            .run(name, value);
      }),
    );
    this.#publish();
  }

  #check({ name, value }: { readonly name: string; readonly value: string | null }): void {
    if (!NAME.test(name) || name.length > MAX_NAME) {
      throw new RequestError(
        400,
        "InvalidEnvironmentVariableName",
        `Environment variable name ${JSON.stringify(name.slice(0, 80))} is invalid: use at most ${MAX_NAME} letters, digits and underscores, not starting with a digit.`,
      );
    }
    if (name in this.#builtIn) {
      throw new RequestError(
        400,
        "EnvironmentVariableReserved",
        `Environment variable ${name} is built in and cannot be changed.`,
      );
    }
    if (value !== null && Buffer.byteLength(value) > MAX_VALUE_BYTES) {
      throw new RequestError(
        400,
        "EnvironmentVariableTooLarge",
        `Environment variable ${name} is larger than ${MAX_VALUE_BYTES} bytes.`,
      );
    }
  }

  /** Function code must see these variables and nothing of the process that hosts it. */
  #publish(): void {
    const visible = { ...this.all(), ...this.#builtIn };
    for (const name of Object.keys(process.env)) if (!(name in visible)) delete process.env[name];
    Object.assign(process.env, visible);
  }
}
