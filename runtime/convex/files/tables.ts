import { defineTable } from "convex/server";
import { v } from "convex/values";

/** Ownership of stored files that no other table names: those that came in with messages. */
export const fileTables = {
  /**
   * One row per stored file and message that carries it. Written by enqueue; deleted by retention, and the file
   * with its last row (`files/attachments.ts`).
   */
  attachmentFiles: defineTable({
    storageId: v.id("_storage"),
    conversation: v.id("conversations"),
    message: v.id("messageQueue"),
    /** Company of the conversation, when it has one: its other conversations may carry the file too. */
    companyId: v.optional(v.string()),
  })
    .index("by_storage", ["storageId"])
    .index("by_message", ["message"]),
};
