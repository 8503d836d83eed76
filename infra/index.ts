/** One environment: `pulumi up --stack <name>`. Composition only; what things are is in components/. */
import * as fs from "node:fs";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { Environment } from "./components/environment.ts";
import { loadStackConfig } from "./loadConfig.ts";

const root = path.resolve(__dirname, "..");
const { config, secrets, warnings } = loadStackConfig((file) => {
  const full = path.resolve(root, file);
  return fs.existsSync(full) ? fs.readFileSync(full, "utf8") : null;
});
for (const warning of warnings) void pulumi.log.warn(warning);

const environment = new Environment("environment", {
  root,
  project: pulumi.getProject(),
  stack: pulumi.getStack(),
  config,
  secrets,
});

/** Where Telegram delivers (bot of the agent `default`, else the first one); null without a bot. */
export const telegramWebhookUrl = environment.telegramWebhookUrl;
/** The same for every bot, by agent key. */
export const telegramWebhookUrls = environment.telegramWebhookUrls;
export const convexUrl = environment.convexUrl;
export const convexSiteUrl = environment.convexSiteUrl;
export const flyAppName = environment.flyAppName;
/** The worker image by digest, as the backend's runtime config has it. */
export const workerImage = environment.workerImage;
export const runtimeConfigRevision = environment.runtimeConfigRevision;
/** Identity that the app, its machines and the deployment carry. */
export const owner = environment.owner;
