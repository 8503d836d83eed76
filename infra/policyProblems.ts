/** What the backend's own schema of the runtime config finds wrong with a stack's policies, in the stack's keys. */
import { runtimeConfigSchema } from "../runtime/convex/policy/runtimeConfig.ts";
import { problemsOf } from "./configProblems.ts";

/** Every part that is the stack's `policies`. */
const POLICY = /^(queue|retry|lease|scaling|drain|turn|hydration|rollout|spend|retention)\b/;

/**
 * What is wrong with the policies of a stack's config, a line each, before anything is made: names and digest are not
 * known then. The rest of the config may be wrong itself, and is said elsewhere.
 */
export function policyProblems(values: Record<string, unknown>): string[] {
  const section = (name: string): Record<string, unknown> => {
    const value = values[name];
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  };
  const input = {
    ...section("policies"),
    provider: {
      appName: "preview",
      organizationSlug: "preview",
      image: `preview/preview@sha256:${"0".repeat(64)}`,
      regions: ["preview"],
      ...(section("fly")["guest"] === undefined ? {} : { guest: section("fly")["guest"] }),
    },
  };
  const parsed = runtimeConfigSchema.safeParse(input);
  if (parsed.success) return [];
  return problemsOf(runtimeConfigSchema, parsed.error, input)
    .filter((problem) => POLICY.test(problem))
    .map((problem) => `policies.${inStackWords(problem)}`);
}

/** A rule between fields may name the machine's size, which has another place in the stack's config. */
const inStackWords = (problem: string): string => problem.replaceAll("provider.guest", "fly.guest");
