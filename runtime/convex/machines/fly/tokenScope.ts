/** What a Fly token is good for, as Fly itself describes it. */
import * as z from "zod";
import { callFly, FlyApiError, type FlyConnection } from "./client.ts";

const TIMEOUT_MS = 10_000;

const answerSchema = z.object({
  tokens: z.array(z.object({ org_slug: z.string().nullish(), apps: z.array(z.string()).nullish() })),
});

/** app: for these apps alone. organization: for everything in it. unknown: Fly did not say. */
export type TokenScope =
  { kind: "app"; apps: string[] } | { kind: "organization"; slug: string } | { kind: "unknown" };

/** Never throws: a token that is refused shows in every other call. */
export async function readTokenScope(connection: FlyConnection): Promise<TokenScope> {
  try {
    const { body } = await callFly(connection, "GET", "/tokens/current", { timeoutMs: TIMEOUT_MS });
    const parsed = answerSchema.safeParse(body);
    const [token] = parsed.success ? parsed.data.tokens : [];
    if (token === undefined) return { kind: "unknown" };
    if (token.apps !== undefined && token.apps !== null && token.apps.length > 0)
      return { kind: "app", apps: token.apps };
    return token.org_slug ? { kind: "organization", slug: token.org_slug } : { kind: "unknown" };
  } catch (error) {
    if (error instanceof FlyApiError) return { kind: "unknown" };
    throw error;
  }
}
