/** Files that consumer apps hand to agents, and facts attached to a message after the fact. */
import { v } from "convex/values";
import { internalMutation, internalQuery } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";

const METADATA_KEYS_MAX = 32;
const METADATA_UNITS_MAX = 2_048;

/** `factory:generateMediaUploadUrl`: POST the file there within the hour; the answer's storageId goes into attachments. */
export const generateMediaUploadUrl = internalMutation({
  args: {},
  returns: v.object({ uploadUrl: v.string() }),
  handler: async (ctx) => ({ uploadUrl: await ctx.storage.generateUploadUrl() }),
});

/** `factory:getStorageFileUrl`: null for a file that is not (or no longer) stored. */
export const getStorageFileUrl = internalQuery({
  args: { storageId: v.id("_storage") },
  returns: v.union(v.string(), v.null()),
  handler: async (ctx, { storageId }) => await ctx.storage.getUrl(storageId),
});

/** `factory:attachMessageMetadata`: adds facts to a message that waits; false once its turn has begun. */
export const attachMessageMetadata = internalMutation({
  args: { messageId: v.id("messageQueue"), metadata: v.record(v.string(), v.string()) },
  returns: v.boolean(),
  handler: async (ctx, { messageId, metadata }) => {
    const message = await ctx.db.get("messageQueue", messageId);
    if (message === null) throw new FactoryError("not_found", `Message '${messageId}' not found`);
    if (message.status !== "queued") return false;
    const merged = { ...message.payload.metadata, ...metadata };
    const tooLong = Object.entries(merged).some(
      ([key, value]) => key.length + value.length > METADATA_UNITS_MAX,
    );
    if (Object.keys(merged).length > METADATA_KEYS_MAX || tooLong) {
      throw new FactoryError(
        "invalid_argument",
        `metadata may have ${METADATA_KEYS_MAX} keys of ${METADATA_UNITS_MAX} characters each, value included`,
      );
    }
    await ctx.db.patch("messageQueue", messageId, { payload: { ...message.payload, metadata: merged } });
    return true;
  },
});
