/** The backend's errors as a person sees them: its own message, and what to run next. */
import * as z from "zod";
import type { FactoryErrorData } from "../../runtime/convex/errors.ts";
import { CliError, type ExitCode, exitCodes } from "../errors.ts";
import type { Refusal } from "./answer.ts";

const factoryErrorSchema = z.object({ code: z.string(), message: z.string() });

const exitCodeOf: Record<FactoryErrorData["code"], ExitCode> = {
  invalid_argument: exitCodes.usage,
  unauthorized: exitCodes.usage,
  forbidden: exitCodes.failed,
  not_found: exitCodes.notFound,
  conflict: exitCodes.failed,
  payload_too_large: exitCodes.usage,
  backlog_full: exitCodes.failed,
  rate_limited: exitCodes.failed,
  not_configured: exitCodes.usage,
  decryption_failed: exitCodes.failed,
  provider_failed: exitCodes.failed,
  provider_unknown: exitCodes.unknown,
};

const nextOf: Partial<Record<FactoryErrorData["code"], string>> = {
  forbidden: "See who owns the deployment: npm run factory -- config show",
  not_configured: "Apply the environment's config: pulumi up --stack <name>",
  backlog_full: "See what waits: npm run factory -- queue stats",
  rate_limited: "Wait a minute and repeat the command.",
  decryption_failed:
    "The key that wrapped this secret is not in the ring: restore it (docs/operations.md, key ring) or set the secret again.",
  provider_failed: "Find the cause: npm run factory -- doctor",
  provider_unknown: "It may have been done. Look before you repeat it: npm run factory -- doctor",
};

/** How Convex says that an argument is no id of the table that it should be of. */
const WRONG_ID =
  /ArgumentValidationError[\s\S]*\nPath: \.(?<field>\w+(?:\[\d+\])?)\nValue: (?<value>"[^\n]{0,200}")\nValidator: v\.id\("(?<table>\w+)"\)/;

/** What the rows of a table are called. */
const nounOf: Partial<Record<string, string>> = {
  messageQueue: "a message",
  outbox: "a part of a reply",
  pushJobs: "a push job",
  broadcasts: "a broadcast",
  webhookEvents: "a webhook event",
};

/** A bot's or another secret that is not there is imported, not deployed. */
function missingSecret(code: FactoryErrorData["code"], message: string): string | null {
  const ref = code === "not_configured" ? /active '([^']+)' secret/.exec(message)?.[1] : undefined;
  return ref === undefined ? null : `Pipe its value into: npm run factory -- secrets set ${ref}`;
}

const isKnown = (code: string): code is FactoryErrorData["code"] => code in exitCodeOf;

/** Texts of the platform, in the order in which they are tried. */
const platformFailures: ReadonlyArray<{
  pattern: RegExp;
  code: string;
  exit: ExitCode;
  /** Instead of the platform's own. */
  text?: string;
  next: string;
}> = [
  {
    pattern: /Could not find (public )?function/,
    code: "old_backend",
    exit: exitCodes.failed,
    next: "The deployment runs an older backend than this CLI: pulumi up --stack <name>",
  },
  {
    pattern: /InvalidCursor/,
    code: "invalid_argument",
    exit: exitCodes.usage,
    text: "--cursor is not where a page of this very list ended.",
    next: "Begin without --cursor and copy the one that the page before ends with.",
  },
  {
    pattern: /ArgumentValidationError|does not match (the )?validator/i,
    code: "invalid_argument",
    exit: exitCodes.usage,
    next: "Check the command's arguments with --help.",
  },
];

/** Turns a refusal into the error that ends the command. */
export function failureOf(name: string, status: number, refusal: Refusal): CliError {
  if ("code" in refusal) return refusedByDeployment(status, refusal);
  const data = factoryErrorSchema.safeParse(refusal.errorData);
  if (data.success && isKnown(data.data.code)) {
    const { code, message } = data.data;
    return new CliError(
      exitCodeOf[code],
      code,
      message,
      missingSecret(code, message) ?? nextOf[code] ?? null,
    );
  }
  const message = firstLines(refusal.errorMessage);
  const wrongId = WRONG_ID.exec(message)?.groups;
  if (wrongId) {
    const { field = "", value = "", table = "" } = wrongId;
    const what = `${field}: ${value} is not the id of ${nounOf[table] ?? `anything in ${table}`}.`;
    return new CliError(
      exitCodes.usage,
      "invalid_argument",
      what,
      "Copy the id from the command that lists them.",
    );
  }
  const known = platformFailures.find(({ pattern }) => pattern.test(message));
  if (known) {
    return new CliError(known.exit, known.code, known.text ?? `factory:${name}: ${message}`, known.next);
  }
  return new CliError(
    exitCodes.failed,
    "failed",
    `factory:${name}: ${message}`,
    "Find the cause: npm run factory -- doctor",
  );
}

function refusedByDeployment(status: number, { code, message }: { code: string; message: string }): CliError {
  const wrongKey = status === 401 || status === 403 || /AdminKey|DeployKey|Unauthorized/i.test(code);
  return new CliError(
    wrongKey ? exitCodes.usage : exitCodes.failed,
    code,
    message,
    wrongKey
      ? "Export the key of this very deployment: as CONVEX_DEPLOY_KEY, a self-hosted backend's as CONVEX_SELF_HOSTED_ADMIN_KEY."
      : null,
  );
}

/** A server error's text carries a stack; the first lines say what happened. */
function firstLines(text: string): string {
  return (
    text
      .split(/\n\s*at /)[0]
      ?.trim()
      .slice(0, 2_000) ?? text
  );
}
