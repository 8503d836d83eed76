/** The functions of a consumer app that are an agent's tools, from a file of the project. */
import * as z from "zod";
import { problemsOf } from "./configProblems.ts";

const functionsSchema = z.array(
  z.strictObject({
    /** The app's name of the function; the tool is called after it. */
    key: z.string().min(1),
    /** For the model: what it does and when to use it. */
    description: z.string().min(1),
    /** JSON Schema of its arguments. */
    parameters: z.record(z.string(), z.unknown()),
  }),
);

/** As the backend takes them. */
export interface BridgeFunction {
  key: string;
  description: string;
  parametersJson: string;
}

/** Reads `[{key, description, parameters}]`. Returns all problems, a line each. */
export function parseBridgeFunctions(
  text: string,
): { ok: true; functions: BridgeFunction[] } | { ok: false; problems: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { ok: false, problems: [`is not valid JSON: ${error.message}`] };
  }
  const parsed = functionsSchema.safeParse(value);
  if (!parsed.success) return { ok: false, problems: problemsOf(functionsSchema, parsed.error, value) };
  return {
    ok: true,
    functions: parsed.data.map(({ key, description, parameters }) => ({
      key,
      description,
      parametersJson: JSON.stringify(parameters),
    })),
  };
}
