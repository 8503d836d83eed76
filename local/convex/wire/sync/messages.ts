import * as z from "zod";

const argsSchema = z.array(z.record(z.string(), z.unknown())).max(1);

const addSchema = z.object({
  type: z.literal("Add"),
  queryId: z.number().int(),
  udfPath: z.string(),
  args: argsSchema,
  journal: z.string().nullish(),
  componentPath: z.string().nullish(),
});
const removeSchema = z.object({ type: z.literal("Remove"), queryId: z.number().int() });

/** What a client may send over the sync socket. */
export const clientMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("Connect"),
    sessionId: z.string().min(1).max(128),
    connectionCount: z.number(),
    lastCloseReason: z.string().nullish(),
    maxObservedTimestamp: z.string().nullish(),
  }),
  z.object({
    type: z.literal("Authenticate"),
    tokenType: z.enum(["None", "User", "Admin"]),
    value: z.string().optional(),
    baseVersion: z.number().int(),
    impersonating: z.unknown().optional(),
  }),
  z.object({
    type: z.literal("ModifyQuerySet"),
    baseVersion: z.number().int(),
    newVersion: z.number().int(),
    modifications: z.array(z.discriminatedUnion("type", [addSchema, removeSchema])),
  }),
  z.object({
    type: z.enum(["Mutation", "Action"]),
    requestId: z.number().int(),
    udfPath: z.string(),
    args: argsSchema,
    componentPath: z.string().nullish(),
  }),
  z.object({ type: z.literal("Event") }),
]);

export type ClientMessage = z.infer<typeof clientMessageSchema>;
export type AddQuery = z.infer<typeof addSchema>;
