/** What is wrong with a request, in words that name each field. */
import type * as z from "zod";

const PROBLEMS_MAX = 20;

type Issue = z.core.$ZodIssue;

/** @param where `path`, `query` or `body` */
export function problemsOf(error: z.ZodError, where: string): string {
  const lines = error.issues.flatMap((issue) => linesOf(issue, [where]));
  return lines.slice(0, PROBLEMS_MAX).join("; ");
}

function linesOf(issue: Issue, above: readonly string[]): string[] {
  const path = [...above, ...issue.path.map(String)];
  if (issue.code === "invalid_union" && issue.errors.length > 0) return linesOfClosest(issue.errors, path);
  return [`${path.join(".")}: ${issue.message}`];
}

/** Of several forms that were not met, the ones that the request comes closest to: what it was meant to be. */
function linesOfClosest(forms: readonly Issue[][], path: readonly string[]): string[] {
  const described = forms.map((issues) => issues.flatMap((issue) => linesOf(issue, path)));
  const fewest = Math.min(...described.map((lines) => lines.length));
  const closest = described.filter((lines) => lines.length === fewest).map((lines) => lines.join("; "));
  return [[...new Set(closest)].join(" or ")];
}
