/** The webhook of one bot, pointed at the deployment's site URL by the backend, which alone holds the token. */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { convexMoved, unlessDeploymentGone } from "./convexPlace.ts";
import { importRefused } from "./importing.ts";

interface TelegramWebhookInputs {
  convex: ConvexAccess;
  siteUrl: string;
  agentKey: string;
  secretRef: string;
  /** Changes when the webhook's secret or the bot's token does: the webhook is then set again. */
  trigger: string;
}

interface TelegramWebhookState extends TelegramWebhookInputs {
  webhookUrl: string;
  /** What refresh found to differ, a line each: elsewhere pointed, another secret, other kinds of updates. */
  drift: string[];
}

interface WebhookStatus {
  ok: boolean;
  webhookUrl: string;
  currentUrl: string | null;
  isReady: boolean;
  lastErrorMessage?: string | null;
  drift?: string[];
}

async function configure(inputs: TelegramWebhookInputs): Promise<TelegramWebhookState> {
  const status = await runConvexFunction<WebhookStatus>(inputs.convex, "factory:configureTelegramWebhook", {
    convexSiteUrl: inputs.siteUrl,
    secretRef: inputs.secretRef,
    agentKey: inputs.agentKey,
  });
  if (!status.isReady) {
    throw new Error(
      `Telegram's webhook for agent '${inputs.agentKey}' is not ready: it points at '${status.currentUrl ?? ""}', expected '${status.webhookUrl}'. Run \`pulumi up\` again.`,
    );
  }
  return { ...inputs, webhookUrl: status.webhookUrl, drift: [] };
}

export class TelegramWebhookProvider implements pulumi.dynamic.ResourceProvider<
  TelegramWebhookInputs,
  TelegramWebhookState
> {
  async create(inputs: TelegramWebhookInputs): Promise<pulumi.dynamic.CreateResult<TelegramWebhookState>> {
    return { id: inputs.agentKey, outs: await configure(inputs) };
  }

  async read(
    id: string,
    state?: TelegramWebhookState,
  ): Promise<pulumi.dynamic.ReadResult<TelegramWebhookState>> {
    if (!state) throw importRefused();
    const status = await unlessDeploymentGone(
      runConvexFunction<WebhookStatus>(state.convex, "factory:telegramWebhookStatus", {
        secretRef: state.secretRef,
        agentKey: state.agentKey,
      }),
      null,
    );
    if (status === null) return { id: "", props: undefined };
    const currentUrl = status.currentUrl ?? "";
    return { id, props: { ...state, webhookUrl: currentUrl, drift: status.drift ?? [] } };
  }

  async diff(
    _id: string,
    olds: TelegramWebhookState,
    news: TelegramWebhookInputs,
  ): Promise<pulumi.dynamic.DiffResult> {
    const replaces = olds.agentKey === news.agentKey ? [] : ["agentKey"];
    const changed =
      olds.siteUrl !== news.siteUrl ||
      olds.secretRef !== news.secretRef ||
      olds.trigger !== news.trigger ||
      convexMoved(olds.convex, news.convex).changed ||
      (olds.drift ?? []).length > 0 ||
      // Somebody pointed the bot elsewhere (seen by refresh).
      !olds.webhookUrl.startsWith(news.siteUrl);
    return { changes: changed || replaces.length > 0, replaces };
  }

  async update(
    _id: string,
    _olds: TelegramWebhookState,
    news: TelegramWebhookInputs,
  ): Promise<pulumi.dynamic.UpdateResult<TelegramWebhookState>> {
    return { outs: await configure(news) };
  }

  async delete(_id: string, state: TelegramWebhookState): Promise<void> {
    await unlessDeploymentGone(
      runConvexFunction(state.convex, "factory:deleteTelegramWebhook", {
        secretRef: state.secretRef,
        agentKey: state.agentKey,
      }),
      undefined,
    );
  }
}

export interface TelegramWebhookArgs {
  convex: pulumi.Input<ConvexAccess>;
  siteUrl: pulumi.Input<string>;
  agentKey: pulumi.Input<string>;
  secretRef: pulumi.Input<string>;
  trigger: pulumi.Input<string>;
}

/** A bot's webhook. */
export class TelegramWebhook extends pulumi.dynamic.Resource {
  declare readonly webhookUrl: pulumi.Output<string>;

  constructor(name: string, args: TelegramWebhookArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new TelegramWebhookProvider(),
      name,
      { ...args, webhookUrl: undefined, drift: undefined },
      options,
      "agent-factory",
      "TelegramWebhook",
    );
  }
}
