/** Push templates: texts and slots that a company reuses. Changing one does not change jobs made from it. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { digestOfRequest, requireSound, requireTemplate } from "./checks.ts";
import { vPushSchedule } from "./tables.ts";

const LIST_MAX = 500;

const vTemplate = v.object({
  templateId: v.id("pushTemplates"),
  templateKey: v.string(),
  title: v.string(),
  text: v.string(),
  schedule: vPushSchedule,
  enabled: v.boolean(),
  updatedAt: v.number(),
});

export const createPushTemplate = internalMutation({
  args: {
    companyId: v.string(),
    templateKey: v.string(),
    title: v.string(),
    text: v.string(),
    schedule: vPushSchedule,
    enabled: v.optional(v.boolean()),
    /** The same request under the same key is answered with the template that it made. */
    idempotencyKey: v.optional(v.string()),
    actor: v.optional(v.string()),
  },
  returns: v.object({ templateId: v.id("pushTemplates") }),
  handler: async (ctx, { actor = "operator", idempotencyKey, ...asked }) => {
    const template = { ...asked, enabled: asked.enabled ?? true };
    requireSound(template);
    const taken = await ctx.db
      .query("pushTemplates")
      .withIndex("by_company_key", (q) =>
        q.eq("companyId", template.companyId).eq("templateKey", template.templateKey),
      )
      .first();
    const requestDigest =
      idempotencyKey === undefined ? undefined : await digestOfRequest({ ...asked, idempotencyKey });
    if (taken !== null) {
      if (requestDigest !== undefined && taken.requestDigest === requestDigest) {
        return { templateId: taken._id };
      }
      throw new FactoryError("conflict", `Template key '${template.templateKey}' already exists for company`);
    }
    const now = Date.now();
    const templateId = await ctx.db.insert("pushTemplates", {
      ...template,
      ...(requestDigest === undefined ? {} : { requestDigest }),
      createdBy: actor,
      createdAt: now,
      updatedAt: now,
    });
    await recordAudit(ctx, {
      actor,
      action: "push_template.create",
      target: template.templateKey,
      outcome: "ok",
    });
    return { templateId };
  },
});

export const updatePushTemplate = internalMutation({
  args: {
    companyId: v.string(),
    templateKey: v.string(),
    title: v.optional(v.string()),
    text: v.optional(v.string()),
    schedule: v.optional(vPushSchedule),
    enabled: v.optional(v.boolean()),
    actor: v.optional(v.string()),
  },
  returns: v.null(),
  handler: async (ctx, { companyId, templateKey, actor = "operator", ...changes }) => {
    const template = await requireTemplate(ctx, companyId, templateKey);
    requireSound(changes);
    await ctx.db.patch("pushTemplates", template._id, { ...given(changes), updatedAt: Date.now() });
    await recordAudit(ctx, { actor, action: "push_template.update", target: templateKey, outcome: "ok" });
    return null;
  },
});

/** Fields that were given: an absent one must not erase what is stored. */
export function given<T extends Record<string, unknown>>(changes: T): Partial<T> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** Jobs made from the template keep their own text and go on. */
export const deletePushTemplate = internalMutation({
  args: { companyId: v.string(), templateKey: v.string(), actor: v.optional(v.string()) },
  returns: v.null(),
  handler: async (ctx, { companyId, templateKey, actor = "operator" }) => {
    const template = await requireTemplate(ctx, companyId, templateKey);
    await ctx.db.delete("pushTemplates", template._id);
    await recordAudit(ctx, { actor, action: "push_template.delete", target: templateKey, outcome: "ok" });
    return null;
  },
});

export const listPushTemplatesByCompany = internalQuery({
  args: { companyId: v.string() },
  returns: v.array(vTemplate),
  handler: async (ctx, { companyId }) => {
    const templates = await ctx.db
      .query("pushTemplates")
      .withIndex("by_company_key", (q) => q.eq("companyId", companyId))
      .take(LIST_MAX);
    return templates.map(view);
  },
});

function view(template: Doc<"pushTemplates">) {
  const { _id, templateKey, title, text, schedule, enabled, updatedAt } = template;
  return { templateId: _id, templateKey, title, text, schedule, enabled, updatedAt };
}
