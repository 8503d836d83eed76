import { FunctionError } from "../engine/errors.ts";

/** What went wrong in a function, as its caller is told. */
export interface Failure {
  readonly message: string;
  /** JSON of a ConvexError's payload, null for other errors. */
  readonly data: string | null;
}

const MAX_FRAMES = 8;

/** Explains a thrown value; frames of the engine and of Node are left out of the stack. */
export function explain(thrown: unknown, codeRoot: string): Failure {
  if (thrown instanceof FunctionError) return { message: thrown.message, data: thrown.data };
  if (typeof thrown !== "object" || thrown === null)
    return { message: `Uncaught ${String(thrown)}`, data: null };
  const error = thrown as { name?: unknown; message?: unknown; stack?: unknown; data?: unknown };
  const isConvexError = Symbol.for("ConvexError") in thrown || "ConvexErrorSymbol" in thrown;
  const data = isConvexError && typeof error.data === "string" ? error.data : null;
  const name = typeof error.name === "string" ? error.name : "Error";
  const message = typeof error.message === "string" ? error.message : "(no message)";
  const frames = userFrames(typeof error.stack === "string" ? error.stack : "", codeRoot);
  return { message: [`Uncaught ${name}: ${message}`, ...frames].join("\n"), data };
}

function userFrames(stack: string, codeRoot: string): string[] {
  return stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line) && line.includes(codeRoot))
    .filter((line) => !line.includes("/node_modules/"))
    .slice(0, MAX_FRAMES)
    .map((line) => {
      const start = line.indexOf(codeRoot);
      const before = line
        .slice(0, start)
        .replace(/(file:\/\/)$/, "")
        .trim();
      // What follows the folder of the push: the file as the source map names it.
      const [, , ...file] = line.slice(start + codeRoot.length).split("/");
      return `    ${before}${before.endsWith("(") ? "" : " "}../${file.join("/")}`;
    });
}

/** An error that bundled code may catch: a plain Error, whose `data` makes convex/server rebuild a ConvexError. */
export function forUserCode(failure: Failure): Error {
  const error = new Error(failure.message);
  return failure.data === null ? error : Object.assign(error, { data: JSON.parse(failure.data) as unknown });
}
