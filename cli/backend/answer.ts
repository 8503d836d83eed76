/** The envelope in which a deployment answers a function call. */
import * as z from "zod";

const answerSchema = z.union([
  z.object({ status: z.literal("success"), value: z.unknown() }),
  z.object({ status: z.literal("error"), errorMessage: z.string(), errorData: z.unknown().optional() }),
  /** The deployment's own refusals, before any function runs. */
  z.object({ code: z.string(), message: z.string() }),
]);
export type Answer = z.infer<typeof answerSchema>;
export type Refusal = Exclude<z.infer<typeof answerSchema>, { status: "success" }>;

/** null: no deployment of Convex says this. */
export function parseAnswer(text: string): Answer | null {
  try {
    const parsed = answerSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
