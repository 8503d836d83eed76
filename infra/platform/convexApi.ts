/** The calls to a Convex deployment that the stack makes with an admin key: its variables and internal functions. */
import { type ConvexAccess, convexAdminKey, forgetAdminKey } from "./convexKey.ts";
import { callPatiently, type HttpAnswer, type HttpCall, outcomeUnknown, secretsOf } from "./http.ts";
import { redact } from "./redact.ts";

export { type ConvexAccess } from "./convexKey.ts";

type DeploymentCall = Pick<HttpCall, "method" | "json" | "secrets" | "timeoutMs"> & { path: string };

/** What went out, for redacting what comes back. */
interface Exchange {
  answer: HttpAnswer;
  secrets: string[];
}

async function exchange(access: ConvexAccess, { path, ...rest }: DeploymentCall): Promise<Exchange> {
  const options: HttpCall = {
    ...rest,
    url: `${access.url}${path}`,
    headers: { authorization: `Convex ${await convexAdminKey(access)}` },
  };
  const answer = await callPatiently(options);
  if (answer.status === 401 || answer.status === 403) {
    // A key of ours may have been deleted in the dashboard: the next call mints another.
    forgetAdminKey(access);
    throw new Error(`Convex refused the key of ${access.url} (${answer.status}). ${KEY_HINTS[access.mode]}`);
  }
  return { answer, secrets: secretsOf(options) };
}

const KEY_HINTS: Record<ConvexAccess["mode"], string> = {
  existing: "CONVEX_DEPLOY_KEY must be a deploy key of this very deployment; create a new one and export it.",
  selfHosted: "Check CONVEX_SELF_HOSTED_ADMIN_KEY: it must be this backend's admin key.",
  provisioned: "Run `pulumi up` again.",
};

/**
 * Calls a function of any kind, internal ones included.
 * @param secrets values among the arguments that no error may show.
 * @throws Error with the function's own message, or one whose outcome is unknown when it may have run.
 */
export async function runConvexFunction<T>(
  access: ConvexAccess,
  path: string,
  args: Record<string, unknown>,
  secrets: readonly string[] = [],
): Promise<T> {
  const sent = await exchange(access, {
    method: "POST",
    path: "/api/function",
    json: { path, args, format: "json" },
    secrets,
    timeoutMs: 60_000,
  });
  const body = (
    typeof sent.answer.body === "object" && sent.answer.body !== null ? sent.answer.body : {}
  ) as {
    status?: string;
    value?: T;
    errorMessage?: string;
    errorData?: { message?: string } | string;
    message?: string;
  };
  if (body.status === "success") return body.value as T;
  const data = typeof body.errorData === "object" ? body.errorData?.message : undefined;
  const reason =
    data ?? body.errorMessage ?? body.message ?? `${sent.answer.status} ${sent.answer.text.slice(0, 500)}`;
  const message = `Convex function ${path} failed: ${redact(reason, sent.secrets)}`;
  // Only the function's own failure, or a refusal to call it, says that it did not happen.
  const definite = body.status === "error" || sent.answer.status < 500;
  throw definite ? new Error(message) : outcomeUnknown(message);
}

/** All environment variables of the deployment, values in plain text: never keep them in an output. */
export async function listEnvironmentVariables(access: ConvexAccess): Promise<Record<string, string>> {
  const { answer } = await exchange(access, { method: "GET", path: "/api/v1/list_environment_variables" });
  const body = answer.body as { environmentVariables?: Record<string, string> };
  if (answer.status !== 200 || !body.environmentVariables) {
    throw new Error(
      `Convex API GET /api/v1/list_environment_variables failed: ${answer.status} ${answer.status === 200 ? "unexpected body" : answer.text.slice(0, 300)}`,
    );
  }
  return body.environmentVariables;
}

/** Sets and removes (null) variables in one call. */
export async function updateEnvironmentVariables(
  access: ConvexAccess,
  changes: Array<{ name: string; value: string | null }>,
): Promise<void> {
  if (changes.length === 0) return;
  const { answer } = await exchange(access, {
    method: "POST",
    path: "/api/v1/update_environment_variables",
    json: { changes },
    secrets: changes.flatMap((change) => change.value ?? []),
  });
  if (answer.status >= 300) {
    throw new Error(
      `Convex API POST /api/v1/update_environment_variables failed: ${answer.status} ${answer.text.slice(0, 300)}`,
    );
  }
}
