/** The deployment's environment, as far as the scaler reads it. Set by the stack. */

// Convex gives every runtime `process.env` and nothing else of Node's process.
declare const process: { env: Record<string, string | undefined> };

/** Identity of the stack that owns this deployment: `<project>/<stack>/<owner id>`. */
export function factoryOwner(): string {
  const owner = process.env.FACTORY_OWNER;
  if (owner === undefined || owner === "") {
    throw new Error("FACTORY_OWNER is not set on this deployment. Run `pulumi up` for this stack.");
  }
  return owner;
}

/** base64 of 32 bytes; checked where it is used (machines/credentials.ts). */
export function workerTokenKey(): string | undefined {
  return process.env.WORKER_TOKEN_KEY;
}

/** What a worker connects to; built into every deployment. */
export function convexCloudUrl(): string {
  return process.env.CONVEX_CLOUD_URL ?? "";
}

/** What Telegram and consumer apps reach; built into every deployment. */
export function convexSiteUrl(): string {
  return process.env.CONVEX_SITE_URL ?? "";
}

/** Which of the variables that the stack sets are there; never their values. */
export function environmentPresence(): Record<string, boolean> {
  const wanted = ["FACTORY_OWNER", "WORKER_TOKEN_KEY", "SECRETS_KEY_RING", "TELEGRAM_WEBHOOK_SECRETS"];
  return Object.fromEntries(wanted.map((name) => [name, (process.env[name] ?? "") !== ""]));
}
