import { type Bot, requireBot } from "./accounts.ts";
import { recordAttempt } from "./attempts.ts";
import type { Core } from "./core.ts";
import { createDeliveryQueue } from "./deliveryQueue.ts";
import { paramsFrom, type Params } from "./params.ts";
import { decideRedelivery, updateLifeMs } from "./redelivery.ts";
import { expireBefore, findUpdate, pendingUpdates, settleUpdate, type StoredUpdate } from "./updates.ts";
import { postUpdate, type PostOutcome } from "./webhookPost.ts";
import { findWebhook, recordGone, recordWebhookError, removeWebhook, type Webhook } from "./webhooks.ts";

/** Delivers updates to the bots' webhooks, in the background, for as long as the server runs. */
export interface Delivery {
  /** New updates may be pending for this bot. */
  wake(botId: number): void;
  /** The bot's webhook was set, changed or removed: what is under way is cut and starts again from the database. */
  restart(botId: number): void;
  /** Cuts what is under way; it stays pending and goes out after the next start. */
  close(): void;
}

export interface DeliveryOptions {
  /** Divides every wait. 1 is Telegram's own pace. */
  timeScale: number;
  /** From 0 to 1. */
  random(): number;
  /** How long a webhook may take to answer. */
  webhookTimeoutMs: number;
  /** Performs a call that a webhook answered with; its result goes nowhere, as with Telegram. */
  perform(bot: Bot, method: string, params: Params): Promise<void>;
}

/** A webhook that answers 410 for this long is closed by Telegram. */
const GONE_LIMIT_MS = 23 * 3_600_000;
const PAGE = 1_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** Calls that Telegram ignores in a webhook's answer; so are all whose name starts with "get". */
const IGNORED_ANSWER_METHODS = new Set(["deletewebhook", "setwebhook", "close", "logout"]);

export function startDelivery(core: Core, options: DeliveryOptions): Delivery {
  const lanes = new Map<number, { wake(): void; stop(): void }>();
  const start = (botId: number): void => {
    const webhook = findWebhook(core, botId);
    if (!webhook) return;
    const lane = startLane(core, options, requireBot(core, String(botId)), webhook, () =>
      lanes.delete(botId),
    );
    lanes.set(botId, lane);
    lane.wake();
  };
  for (const { bot_id } of core.store.all<{ bot_id: number }>(
    "SELECT bot_id FROM webhooks WHERE url <> ''",
  )) {
    start(bot_id);
  }
  return {
    wake: (botId) => lanes.get(botId)?.wake(),
    restart(botId) {
      lanes.get(botId)?.stop();
      lanes.delete(botId);
      start(botId);
    },
    close() {
      for (const lane of lanes.values()) lane.stop();
      lanes.clear();
    },
  };
}

/** One bot's deliveries to one webhook. */
function startLane(
  core: Core,
  options: DeliveryOptions,
  bot: Bot,
  webhook: Webhook,
  closed: () => void,
): { wake(): void; stop(): void } {
  const queue = createDeliveryQueue();
  // In memory, as Telegram's are: after a restart or a new setWebhook every pending update goes out at once.
  const failures = new Map<number, number>();
  const stopped = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let loadedUpTo = 0;
  let underWay = 0;
  expireBefore(core, bot.id, core.now() - updateLifeMs(options.timeScale));

  const load = (): void => {
    for (;;) {
      const page = pendingUpdates(core, bot.id, loadedUpTo, PAGE);
      for (const update of page) {
        queue.add(update.queueKey, update.updateId);
        loadedUpTo = update.updateId;
      }
      if (page.length < PAGE) return;
    }
  };

  const pump = (): void => {
    if (stopped.signal.aborted) return;
    clearTimeout(timer);
    while (underWay < webhook.maxConnections) {
      const next = queue.take(core.now());
      if (!next) break;
      const update = findUpdate(core, bot.id, next.updateId);
      if (update && update.createdAt + updateLifeMs(options.timeScale) >= core.now()) {
        underWay++;
        void deliver(update);
      } else {
        settleUpdate(core, bot.id, next.updateId, "expired");
        queue.done(next.key);
      }
    }
    const readyAt = queue.nextReadyAt();
    if (readyAt !== undefined && underWay < webhook.maxConnections) {
      timer = setTimeout(pump, Math.min(Math.max(readyAt - core.now(), 0), LONGEST_TIMER_MS));
    }
  };

  const deliver = async (update: StoredUpdate): Promise<void> => {
    const at = core.now();
    const outcome = await postUpdate(webhook, update.body, stopped.signal, options.webhookTimeoutMs);
    // After a stop the update stays pending: whoever comes next sends it again.
    if (stopped.signal.aborted) return;
    recordAttempt(core, bot.id, { updateId: update.updateId, at, outcome, copy: false });
    underWay--;
    settle(update, outcome);
    pump();
  };

  const settle = (update: StoredUpdate, outcome: PostOutcome): void => {
    if (outcome.kind === "accepted") {
      recordGone(core, bot.id, false);
      failures.delete(update.updateId);
      settleUpdate(core, bot.id, update.updateId, "delivered");
      queue.done(update.queueKey);
      performAnswer(outcome.answer);
      return;
    }
    recordWebhookError(core, bot.id, outcome.error);
    const goneForMs = recordGone(core, bot.id, outcome.status === 410);
    const failed = failures.get(update.updateId) ?? 0;
    failures.delete(update.updateId);
    const decision = decideRedelivery({
      failures: failed,
      retryAfterSeconds: outcome.retryAfterSeconds,
      createdAt: update.createdAt,
      now: core.now(),
      random: options.random(),
      timeScale: options.timeScale,
    });
    if (decision.kind === "retry") {
      failures.set(update.updateId, failed + 1);
      queue.retry(update.queueKey, decision.at);
    } else {
      core.log(`update ${update.updateId} of @${bot.username} was dropped: undelivered for 24 hours`);
      settleUpdate(core, bot.id, update.updateId, "expired");
      queue.done(update.queueKey);
    }
    if (goneForMs > GONE_LIMIT_MS / options.timeScale) {
      core.log(`the webhook of @${bot.username} is closed: it answered 410 for over 23 hours`);
      removeWebhook(core, bot.id);
      stop();
      closed();
    }
  };

  const performAnswer = (answer: Record<string, unknown> | undefined): void => {
    const method = typeof answer?.method === "string" ? answer.method : "";
    if (!answer || method === "") return;
    if (IGNORED_ANSWER_METHODS.has(method.toLowerCase()) || method.toLowerCase().startsWith("get")) return;
    options
      .perform(bot, method, paramsFrom(Object.entries(answer)))
      .catch((error: unknown) =>
        core.log(`${method}, asked for in a webhook's answer, was refused: ${String(error)}`),
      );
  };

  const stop = (): void => {
    stopped.abort();
    clearTimeout(timer);
  };
  return {
    stop,
    wake() {
      load();
      pump();
    },
  };
}
