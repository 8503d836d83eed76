/**
 * What a finished run says. The status decides, never the text: a run that timed out carries an apology as its
 * text, and an apology must not be sent as an answer.
 */
import * as z from "zod";

export type TurnResult =
  | { kind: "answered"; text: string; usage: { inputTokens?: number; outputTokens?: number } }
  | { kind: "aborted"; reason: string }
  | { kind: "timedOut"; reason: string }
  | { kind: "failed"; reason: string };

const resultSchema = z.object({
  runId: z.string().optional(),
  status: z.string(),
  summary: z.string().optional(),
  error: z.unknown().optional(),
  result: z
    .object({
      payloads: z
        .array(
          z.object({
            text: z.string().nullish(),
            isError: z.boolean().nullish(),
            isReasoning: z.boolean().nullish(),
          }),
        )
        .nullish(),
      meta: z
        .object({
          error: z.unknown().optional(),
          stopReason: z.string().nullish(),
          agentMeta: z
            .object({
              usage: z.object({ input: z.number().optional(), output: z.number().optional() }).optional(),
            })
            .nullish(),
        })
        .nullish(),
    })
    .nullish(),
});

/**
 * Reads the final answer of the `agent` call.
 *
 * @param runId of the run that was asked for.
 * @returns null when it is none: of another shape, of another run, or good without saying what was said. A gateway
 * that gives it knows nothing of the turn.
 */
export function parseTurnResult(payload: unknown, runId: string): TurnResult | null {
  const parsed = resultSchema.safeParse(payload);
  if (!parsed.success) return null;
  const { status, summary, result, error } = parsed.data;
  if (parsed.data.runId !== undefined && parsed.data.runId !== runId) return null;
  if (summary === "aborted") return { kind: "aborted", reason: summary };
  if (status === "timeout") return { kind: "timedOut", reason: summary ?? "timeout" };
  if (status !== "ok") return { kind: "failed", reason: describe(error) ?? summary ?? `status ${status}` };
  // An agent that chooses to say nothing leaves the list empty; a list that is missing says nothing about it.
  if (result?.payloads == null) return null;
  const { payloads } = result;
  const failed = payloads.find((part) => part.isError === true);
  const metaError = describe(result.meta?.error);
  if (failed !== undefined || metaError !== null) {
    return { kind: "failed", reason: metaError ?? failed?.text ?? "The model failed" };
  }
  const text = payloads
    .filter((part) => part.isReasoning !== true)
    .map((part) => part.text ?? "")
    .filter((part) => part.trim() !== "")
    .join("\n\n");
  const usage = result.meta?.agentMeta?.usage;
  return { kind: "answered", text, usage: { inputTokens: usage?.input, outputTokens: usage?.output } };
}

function describe(error: unknown): string | null {
  if (error === undefined || error === null) return null;
  if (typeof error === "string") return error;
  const message = (error as { message?: unknown }).message;
  return typeof message === "string" ? message : "unspecified error";
}
