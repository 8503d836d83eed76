/** One whole environment: the three planes and what ties them together. */
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { StackConfig, StackSecrets } from "../config.ts";
import {
  botTokenRef,
  flyAppName,
  flyNetworkName,
  flyTokenName,
  type NameParts,
  ownerIdentity,
} from "../naming.ts";
import { RuntimeConfigRow } from "../providers/runtimeConfig.ts";
import { TelegramWebhook } from "../providers/telegramWebhook.ts";
import { runtimeConfigOf } from "../runtimeConfig.ts";
import { ConvexBackend } from "./convexBackend.ts";
import { FlyPlane } from "./flyApp.ts";
import { pruneImagesAfter } from "./imagePruning.ts";
import { WorkerImage } from "./workerImage.ts";

export interface EnvironmentArgs {
  root: string;
  project: string;
  stack: string;
  config: StackConfig;
  secrets: StackSecrets;
}

export class Environment extends pulumi.ComponentResource {
  readonly telegramWebhookUrl: pulumi.Output<string | null>;
  readonly telegramWebhookUrls: pulumi.Output<Record<string, string>>;
  readonly convexUrl: pulumi.Output<string>;
  readonly convexSiteUrl: pulumi.Output<string>;
  readonly flyAppName: pulumi.Output<string>;
  readonly workerImage: pulumi.Output<string>;
  readonly runtimeConfigRevision: pulumi.Output<number>;
  readonly owner: pulumi.Output<string>;

  constructor(name: string, args: EnvironmentArgs, options?: pulumi.ComponentResourceOptions) {
    super("agent-factory:index:Environment", name, {}, options);
    const { config, secrets } = args;
    const parent = { parent: this };

    // Random and kept in the stack's state: two stacks never share it, whatever their names are.
    const ownerId = new random.RandomId(`${name}-owner`, { byteLength: 8 }, parent).hex;
    const names = ownerId.apply((hex): NameParts => ({
      project: args.project,
      stack: args.stack,
      ownerId: hex,
    }));
    const owner = names.apply(ownerIdentity);

    const backend = new ConvexBackend(
      "convex",
      { root: args.root, config, secrets, owner, stack: args.stack },
      parent,
    );
    const fly = new FlyPlane(
      "fly",
      {
        fly: config.fly,
        appName: config.fly.appName ?? names.apply(flyAppName),
        network: names.apply(flyNetworkName),
        secrets: secrets.modelKeys,
        convex: backend.access,
        protect: config.protect,
      },
      parent,
    );
    const token = fly.issueToken(config.fly, names.apply(flyTokenName), backend.access, backend.ready);
    const image = new WorkerImage(
      "image",
      {
        root: args.root,
        image: config.image,
        registryUrl: config.fly.registryUrl,
        appName: fly.appName,
        appId: fly.appId,
      },
      parent,
    );
    const runtimeConfig = new RuntimeConfigRow(
      "runtime-config",
      {
        convex: backend.access,
        owner,
        config: pulumi
          .all([fly.appName, image.image, fly.secretsVersion])
          .apply(([appName, ref, secretsVersion]) =>
            runtimeConfigOf(config, { appName, image: ref, minSecretsVersion: secretsVersion }),
          ),
        waitForRollout: config.rollout.wait,
        rolloutTimeoutSeconds: config.rollout.timeoutSeconds,
      },
      // The scaler starts with the config: it needs the site's URL and the token, its workers the profiles.
      { ...parent, dependsOn: [...backend.complete, token] },
    );

    const pruning =
      config.image.builder === "prebuilt"
        ? []
        : [
            pruneImagesAfter(
              {
                root: args.root,
                fly: config.fly,
                keepRecent: config.image.keepRecent,
                appName: fly.appName,
                image: image.image,
                convex: backend.access,
              },
              { ...parent, dependsOn: [runtimeConfig] },
            ),
          ];

    // Last: people can write only once everything behind the webhook stands. On destroy it goes first.
    const webhooks = secrets.telegramAgentKeys.map((agentKey) => {
      const botSecret = backend.botSecrets.get(agentKey);
      return new TelegramWebhook(
        `telegram-webhook-${agentKey}`,
        {
          convex: backend.access,
          siteUrl: backend.siteUrl,
          agentKey,
          secretRef: botTokenRef(agentKey),
          trigger: pulumi.interpolate`${backend.webhookSecretId}/${botSecret?.version ?? 0}`,
        },
        { ...parent, dependsOn: [runtimeConfig, ...backend.complete] },
      );
    });

    // Depends on everything, so that a destroy begins with it: a protected environment refuses before anything is
    // touched. Protection of the app alone would be noticed when people are cut off already.
    new random.RandomId(
      "environment-guard",
      { byteLength: 4 },
      {
        ...parent,
        protect: config.protect,
        dependsOn: [fly, backend, image, token, runtimeConfig, ...pruning, ...webhooks],
      },
    );

    this.telegramWebhookUrls = pulumi
      .all(webhooks.map((webhook) => webhook.webhookUrl))
      .apply((urls) =>
        Object.fromEntries(secrets.telegramAgentKeys.map((key, index) => [key, urls[index] ?? ""])),
      );
    this.telegramWebhookUrl = this.telegramWebhookUrls.apply(
      (urls) => urls["default"] ?? Object.values(urls)[0] ?? null,
    );
    this.convexUrl = backend.access.apply((access) => access.url);
    this.convexSiteUrl = backend.siteUrl;
    this.flyAppName = fly.appName;
    this.workerImage = image.image;
    this.runtimeConfigRevision = runtimeConfig.revision;
    this.owner = owner;
    this.registerOutputs({ owner, workerImage: image.image });
  }
}
