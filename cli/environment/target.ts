/** Which deployment a command operates, and with which key. */
import { usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { readLocalEnvironment } from "./localFile.ts";
import { readLogin } from "./login.ts";
import { accessOfStack } from "./stack.ts";

export interface TargetOptions {
  stack?: string | undefined;
  convexUrl?: string | undefined;
}

export interface Target {
  /** For people: the stack's name, `local`, or the URL's host. */
  name: string;
  /** The deployment's URL, without a trailing slash. */
  url: string;
  /** Where its webhooks and HTTP endpoints are; null when it is not known. */
  siteUrl: string | null;
  /** File of the admin key, for the local environment alone. */
  adminKeyFile: string | null;
}

/** Name of the stack that `npm run local` runs. */
const LOCAL_STACK = "local";

/**
 * The flag that names one, else what `login` stored, else the running local environment.
 *
 * @throws CliError (usage, not found) that says how to name one.
 */
export async function findTarget(options: TargetOptions, io: Io): Promise<Target> {
  if (options.stack !== undefined && options.convexUrl !== undefined) {
    throw usageError("--stack and --convex-url name two environments: give one of them.");
  }
  if (options.convexUrl !== undefined) return targetOfUrl(options.convexUrl, io);
  if (options.stack !== undefined && options.stack !== LOCAL_STACK) return targetOfStack(options.stack, io);
  const login = options.stack === LOCAL_STACK ? null : readLogin(io.root);
  if (login !== null) return { ...login, name: login.stack ?? new URL(login.url).host, adminKeyFile: null };
  const local = readLocalEnvironment(io.root);
  if (local !== null) return { name: LOCAL_STACK, ...local };
  throw usageError(
    "No environment to operate: no local one is running, and none was named.",
    "Start one with `npm run local`, or name one with --stack <name>, --convex-url <url> or the command login.",
  );
}

async function targetOfStack(stack: string, io: Io): Promise<Target> {
  return { name: stack, ...(await accessOfStack(stack, io)), adminKeyFile: null };
}

/** The key of the local environment goes to the local environment, whichever way it was named. */
function targetOfUrl(text: string, io: Io): Target {
  const url = checkDeploymentUrl("--convex-url", text);
  const local = readLocalEnvironment(io.root);
  if (local?.url === url) return { name: LOCAL_STACK, ...local };
  return { name: new URL(url).host, url, siteUrl: siteUrlOf(url), adminKeyFile: null };
}

/** @throws CliError for what is no deployment URL, or would send the key in plain text. */
export function checkDeploymentUrl(source: string, text: string): string {
  if (!URL.canParse(text)) throw usageError(`${source} must be a URL, got '${text}'.`);
  const url = new URL(text);
  const loopback = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && loopback)) {
    throw usageError(`${source} must start with https:// (http:// only on loopback), got '${text}'.`);
  }
  if (url.hostname.endsWith(".convex.site")) {
    throw usageError(
      `${source} must be the deployment's .convex.cloud URL; ${text} is its .convex.site URL.`,
      `Use ${url.origin.replace(".convex.site", ".convex.cloud")}`,
    );
  }
  return url.origin;
}

/** On Convex Cloud the one follows from the other. */
export function siteUrlOf(url: string): string | null {
  return url.endsWith(".convex.cloud") ? url.replace(/\.convex\.cloud$/, ".convex.site") : null;
}
