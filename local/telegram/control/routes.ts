import { Hono } from "hono";
import * as z from "zod";
import { limitBody } from "../../service/limitBody.ts";
import { listBots, registerBot, requireBot, saveUser } from "../accounts.ts";
import { listAttempts } from "../attempts.ts";
import { type Core, waitForChange } from "../core.ts";
import { ApiError, badRequest } from "../errors.ts";
import { type Faults, faultRuleSchema } from "../faults.ts";
import { lastSeq, nextBotEntry, readTranscript } from "../transcript.ts";
import { addUpdate } from "../updates.ts";
import { webhookInfo } from "../webhooks.ts";
import { createChat } from "./chats.ts";
import { sendCopies } from "./duplicates.ts";
import { announce, changeMembership, receiveCallback, receiveEdit, receiveMessage } from "./incoming.ts";
import * as schemas from "./schemas.ts";

export interface ControlOptions {
  faults: Faults;
  webhookTimeoutMs: number;
  /** Aborts when the server stops. */
  stopped: AbortSignal;
}

/** A file of the largest size in base64, and the message around it. */
const BODY_LIMIT_BYTES = 72 * 1024 * 1024;

/** The people's side: what a phone does, what it shows, and how Telegram may misbehave. */
export function controlRoutes(core: Core, options: ControlOptions): Hono {
  const routes = new Hono();
  const tooLarge = (): Response =>
    Response.json({ error: "the body is larger than 72 MiB" }, { status: 413 });
  routes.use("/*", limitBody(BODY_LIMIT_BYTES, tooLarge));
  routes.onError((error) => {
    if (error instanceof ApiError) {
      return Response.json({ error: error.message.replace(/^Bad Request: /, "") }, { status: error.status });
    }
    core.log(`a control call failed: ${error.stack}`);
    return Response.json({ error: "internal error, see this server's log" }, { status: 500 });
  });

  routes.get("/bots", (c) => c.json({ bots: listBots(core) }));
  routes.post("/bots", async (c) => {
    const input = await read(c.req.raw, schemas.botSchema);
    const {
      token,
      username,
      first_name: firstName,
      can_read_all_group_messages: readsAllGroupMessages,
    } = input;
    return c.json(registerBot(core, { token, username, firstName, readsAllGroupMessages }));
  });
  routes.post("/users", async (c) => {
    const person = { is_bot: false, ...(await read(c.req.raw, schemas.personSchema)) };
    saveUser(core, person);
    return c.json(person);
  });
  routes.post("/chats", async (c) => c.json(createChat(core, await read(c.req.raw, schemas.chatSchema))));
  routes.post("/members", async (c) => {
    const input = await read(c.req.raw, schemas.membershipSchema);
    return c.json(
      changeMembership(core, requireBot(core, input.bot), input.chatId, input.from, input.status),
    );
  });
  for (const [path, status] of [["/block", "kicked"] as const, ["/unblock", "member"] as const]) {
    routes.post(path, async (c) => {
      const input = await read(c.req.raw, schemas.blockSchema);
      return c.json(changeMembership(core, requireBot(core, input.bot), input.chatId, undefined, status));
    });
  }
  routes.post("/messages", async (c) => {
    const input = await read(c.req.raw, schemas.messageSchema);
    return c.json(receiveMessage(core, requireBot(core, input.bot), input));
  });
  routes.post("/edits", async (c) => {
    const input = await read(c.req.raw, schemas.editSchema);
    return c.json(receiveEdit(core, requireBot(core, input.bot), input));
  });
  routes.post("/callbacks", async (c) => {
    const input = await read(c.req.raw, schemas.callbackSchema);
    return c.json(receiveCallback(core, requireBot(core, input.bot), input));
  });
  routes.post("/updates", async (c) => {
    const input = await read(c.req.raw, schemas.rawUpdateSchema);
    const bot = requireBot(core, input.bot);
    const chat = input.payload.chat as { id?: unknown } | undefined;
    const key = typeof chat?.id === "number" ? `chat ${chat.id}` : `raw ${input.kind}`;
    const update_id = core.store.transaction(() => addUpdate(core, bot.id, input.kind, key, input.payload));
    announce(core, bot);
    return c.json({ update_id });
  });
  routes.post("/duplicate", async (c) => {
    const input = await read(c.req.raw, schemas.duplicateSchema);
    const bot = requireBot(core, input.bot);
    return c.json({ results: await sendCopies(core, bot, input, options.webhookTimeoutMs, options.stopped) });
  });

  routes.get("/transcript", (c) => {
    const query = parse(schemas.chatQuerySchema, c.req.query());
    const bot = requireBot(core, query.bot);
    const entries = readTranscript(core, bot.id, query.chatId, query.after, query.limit);
    // `next` is the following page's `after`; `newest` lets a reader start at the end.
    return c.json({
      entries,
      next: entries.at(-1)?.seq ?? query.after,
      newest: lastSeq(core, bot.id, query.chatId),
    });
  });
  routes.get("/wait", async (c) => {
    const query = parse(schemas.waitQuerySchema, c.req.query());
    const bot = requireBot(core, query.bot);
    const signal = AbortSignal.any([c.req.raw.signal, options.stopped]);
    const entry = await waitForChange(core, "entry", query.timeoutMs, signal, () =>
      options.stopped.aborted
        ? undefined
        : nextBotEntry(core, bot.id, query.chatId, query.after, query.kinds),
    );
    return c.json({ entry: entry ?? null, timedOut: entry === undefined });
  });
  routes.get("/webhook", (c) => {
    const query = parse(schemas.botQuerySchema, c.req.query());
    const bot = requireBot(core, query.bot);
    return c.json({ info: webhookInfo(core, bot.id), attempts: listAttempts(core, bot.id, query.limit) });
  });

  routes.get("/faults", (c) => c.json({ rules: options.faults.list() }));
  routes.post("/faults", async (c) =>
    c.json({ id: options.faults.add(await read(c.req.raw, faultRuleSchema)) }),
  );
  routes.delete("/faults", (c) => {
    options.faults.clear();
    return c.json({ ok: true });
  });
  return routes;
}

async function read<Value>(request: Request, schema: z.ZodType<Value>): Promise<Value> {
  const body: unknown = await request.json().catch(() => {
    throw badRequest("the body must be JSON");
  });
  return parse(schema, body);
}

function parse<Value>(schema: z.ZodType<Value>, value: unknown): Value {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw badRequest(z.prettifyError(parsed.error));
  return parsed.data;
}
