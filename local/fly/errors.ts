import type * as z from "zod";

/** Values of `status` in Fly's error body, by which a client classifies an error before it reads the text. */
export type FlyStatusCode = "unknown" | "insufficient_capacity" | "volume_placement_capacity" | "name_taken";

/** An answer other than success: thrown by any handler, turned into `{error, status?}` by the HTTP pipeline. */
export class FlyError extends Error {
  readonly status: number;
  readonly code: FlyStatusCode | undefined;

  constructor(status: number, message: string, code?: FlyStatusCode) {
    super(message);
    this.name = "FlyError";
    this.status = status;
    this.code = code;
  }

  /** The JSON body Fly's clients parse. */
  body(): { error: string; status?: FlyStatusCode } {
    return this.code === undefined ? { error: this.message } : { error: this.message, status: this.code };
  }
}

export const invalidArgument = (text: string): FlyError => new FlyError(400, `invalid_argument: ${text}`);
export const failedPrecondition = (text: string): FlyError =>
  new FlyError(412, `failed_precondition: ${text}`);
export const conflict = (text: string): FlyError => new FlyError(409, text);
export const notFound = (text: string): FlyError => new FlyError(404, text);
export const unprocessable = (text: string, code?: FlyStatusCode): FlyError => new FlyError(422, text, code);

/** Validates outside input once. A mismatch is a 400 that names every wrong field. */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const field = issue.path.map(String).join(".") || "body";
    return `${field}: ${issue.message}`;
  });
  throw invalidArgument(problems.join("; "));
}
