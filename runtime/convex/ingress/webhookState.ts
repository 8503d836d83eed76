/** What the webhook actions read and write of the database. */
import { v } from "convex/values";
import { internalMutation, internalQuery } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { readSecret } from "../secrets/read.ts";
import { findBot } from "./bots.ts";

/** Token and Bot API address for one bot: internal, for the actions that talk to Telegram. */
export const botAccess = internalQuery({
  args: { secretRef: v.string() },
  returns: v.object({
    token: v.union(v.string(), v.null()),
    apiUrl: v.string(),
    pathPrefix: v.string(),
    webhookSecretHash: v.union(v.string(), v.null()),
  }),
  handler: async (ctx, { secretRef }) => {
    const { config } = await readRuntimeConfig(ctx);
    const bot = await findBot(ctx, secretRef);
    return {
      token: await readSecret(ctx, secretRef),
      apiUrl: config.telegram.apiUrl,
      pathPrefix: config.telegram.pathPrefix,
      webhookSecretHash: bot?.webhookSecretHash ?? null,
    };
  },
});

export const recordConfigured = internalMutation({
  args: {
    secretRef: v.string(),
    botId: v.string(),
    username: v.union(v.string(), v.null()),
    webhookUrl: v.string(),
    webhookSecretHash: v.string(),
  },
  returns: v.null(),
  handler: async (ctx, { secretRef, botId, username, webhookUrl, webhookSecretHash }) => {
    const facts = {
      botId,
      webhookUrl,
      webhookSecretHash,
      configuredAt: Date.now(),
      ...(username === null ? {} : { username }),
    };
    const existing = await findBot(ctx, secretRef);
    if (existing === null) await ctx.db.insert("telegramBots", { secretRef, ...facts });
    else await ctx.db.patch("telegramBots", existing._id, facts);
    return null;
  },
});

export const recordDeleted = internalMutation({
  args: { secretRef: v.string() },
  returns: v.null(),
  handler: async (ctx, { secretRef }) => {
    const existing = await findBot(ctx, secretRef);
    if (existing !== null) {
      await ctx.db.patch("telegramBots", existing._id, {
        webhookUrl: undefined,
        webhookSecretHash: undefined,
        configuredAt: undefined,
      });
    }
    return null;
  },
});
