/** One environment: `pulumi up --stack <name>`. Composition only; what things are is in components/. */
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { Environment } from "./components/environment.ts";
import { loadStackConfig } from "./config.ts";

const { config, secrets } = loadStackConfig();

const environment = new Environment("environment", {
  root: path.resolve(__dirname, ".."),
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
