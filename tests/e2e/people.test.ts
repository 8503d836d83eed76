/**
 * The lives of people and apps in one whole environment: pairing, chat, push, another agent, the end of access; two
 * bots; a group and its topics; an app without Telegram. In order: each test goes on where the one before it stopped.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import type { Person, Phone, Place } from "../../local/environment/person.ts";
import { type ExampleServer, startExample } from "../../runtime/client/example/server.ts";
import { type AgentFactoryClient, createClient, type WebhookEvent } from "../../runtime/client/src/index.ts";
import { Operator } from "./operator.ts";
import { startWebhookReceiver, type WebhookReceiver } from "./webhookReceiver.ts";
import { World } from "./world.ts";

const person = (id: number, name: string): Person => ({ id, first_name: name });
const ada = person(9_001, "Ada");
const bruno = person(9_002, "Bruno");
const carla = person(9_003, "Carla");
const dora = person(9_004, "Dora");
const mallory = person(9_666, "Mallory");

const STRANGER = /^This assistant is private\./;
/** Slots are minutes: one that leaves time for the call that makes its job, ms. */
const SLOT_LEAD_MS = 10_000;
const SLOT_MS = 60_000;

let souls: string;
let world: World;
let operator: Operator;
let support: { id: string; phone: Phone };
/** Company acme's own use of the API. */
let acme: AgentFactoryClient;
let serviceKey: string;
let siteUrl: string;
/** A daily push to Dora, whose slot comes while other tests run. */
let pushed: { jobId: string; slotAt: number };
let example: ExampleServer;
let receiver: WebhookReceiver;
const told: WebhookEvent[] = [];

beforeAll(async () => {
  souls = mkdtempSync(join(tmpdir(), "af-souls-"));
  const agents = ["default", "concierge", "support"].map((agentKey) => {
    const soulFile = join(souls, `${agentKey}.md`);
    writeFileSync(soulFile, `# Soul\n\nYou are the agent called the-${agentKey}-agent.\n`);
    return { agentKey, soulFile };
  });
  world = await World.start({ agents, "telegram.requireBindingForTelegram": true });
  operator = new Operator(world.environment.cloud.convex);
  support = await world.addBot("support", "support_bot");
  await world.up();
  ({ siteUrl } = world.environment.cloud.convex);
  ({ serviceKey } = await operator.run<{ serviceKey: string }>("service-keys", "create", "acme", "shop"));
  acme = createClient({ siteUrl, serviceKey });
});

afterAll(async () => {
  await example?.close();
  await receiver?.close();
  await world?.stop();
  rmSync(souls, { recursive: true, force: true });
});

/** The code of a deep link, as Telegram hands it to the bot that the link names. */
function openedLink(deepLink: string | null): { bot: string; start: string } {
  const [, bot = "", code = ""] = /^https:\/\/t\.me\/(\w+)\?start=([\w-]+)$/.exec(deepLink ?? "") ?? [];
  return { bot, start: `/start ${code}` };
}

/** Pairs through a code that an operator makes, and returns what the person was told. */
async function pair(who: Person, userId: string, agentKey: string, phone = world.phone): Promise<string> {
  const made = await operator.run<{ deepLink: string | null }>(
    ...["pairing", "create", userId, "--company", "acme", "--agent", agentKey],
  );
  return await world.ask(who, openedLink(made.deepLink).start, phone);
}

const soulAsked = (agentKey: string): string => `echo-system the-${agentKey}-agent`;
const soulFound = (agentKey: string): string => `The system prompt contains "the-${agentKey}-agent".`;

/** Writes several times in a row and returns what came back, once the bot has had the time for all of it. */
async function writeAsStranger(who: Person, phone: Phone, texts: string[]): Promise<string[]> {
  const before = (await world.answers(who, phone)).length;
  const last: number[] = [];
  for (const text of texts) last.push((await phone.write(who, text)).updateId);
  await world.until("the webhook has taken every message", async () => {
    const taken = (await phone.webhookAttempts()).filter(({ status }) => status === 200);
    return last.every((updateId) => taken.some((attempt) => attempt.updateId === updateId));
  });
  await world.deliveriesDone();
  return (await world.answers(who, phone)).slice(before);
}

describe("a person", () => {
  it("is told once that the bot is private, and then nothing more", async () => {
    const replies = await writeAsStranger(mallory, world.phone, [
      "Hello?",
      "Anybody?",
      "/start nosuchcode",
      "/help",
    ]);
    expect(replies).toHaveLength(1);
    expect(replies[0]).toMatch(STRANGER);
  });

  it("who never wrote has a push planned for a minute that is about to begin", async () => {
    expect(await pair(dora, "dora", "support", support.phone)).toMatch(/^You are connected\./);
    const slotAt = Math.ceil((Date.now() + SLOT_LEAD_MS) / SLOT_MS) * SLOT_MS;
    const time = new Date(slotAt).toISOString().slice(11, 16);
    await acme.createPushTemplate({
      templateKey: "morning",
      title: "Morning",
      text: "What is planned for today, Dora?",
      schedule: { kind: "daily", time },
    });
    const job = await acme.createPushJobFromTemplate({
      userId: "dora",
      templateKey: "morning",
      timeZone: "UTC",
    });
    expect(job.nextRunAt).toBe(slotAt);
    pushed = { jobId: job.jobId, slotAt };
  });

  it("is paired by the link that an operator makes at the command line, and answered", async () => {
    const made = await operator.run<{ code: string; deepLink: string | null }>(
      ...["pairing", "create", "ada", "--company", "acme"],
    );
    const { bot, start } = openedLink(made.deepLink);
    expect(bot).toBe(world.environment.bot.username);
    expect(await world.ask(ada, start)).toMatch(/^You are connected\./);
    expect(await operator.run("pairing", "status", made.code)).toMatchObject({
      status: "used",
      consumerUserId: "ada",
    });
    expect(await world.ask(ada, "My favourite colour is vermilion.")).toContain("This is turn 1");

    // The code was hers: for anybody after her it is spent.
    expect(await writeAsStranger(mallory, world.phone, [start])).toEqual([]);
    expect(await operator.run("bindings", "show", "ada", "--company", "acme")).toMatchObject({
      active: { agentKey: "default", telegramUserId: String(ada.id), source: "telegram_pairing" },
      history: [],
    });
  });

  it("on a bot of its own agent is answered by that agent, and by no other bot's", async () => {
    // Made by the app this time; the link names the bot of the agent.
    const { deepLink } = await acme.createPairingCode({ userId: "bruno", agentKey: "support" });
    const { bot, start } = openedLink(deepLink);
    expect(bot).toBe("support_bot");
    expect(await world.ask(bruno, start, support.phone)).toMatch(/^You are connected\./);

    const [ofSupport, ofDefault] = await Promise.all([
      world.ask(bruno, soulAsked("support"), support.phone),
      world.ask(ada, soulAsked("default")),
    ]);
    expect(ofSupport).toBe(soulFound("support"));
    expect(ofDefault).toBe(soulFound("default"));
    expect(await support.phone.webhookUrl()).toBe(`${await world.phone.webhookUrl()}/support`);
    // The other one's chat with the same person is empty: each bot answers with its own token, in its own chat.
    expect(await world.answers(bruno)).toEqual([]);
    // Ada belongs to another agent: on this bot she is a stranger.
    const refused = await writeAsStranger(ada, support.phone, ["Let me in here too.", "Please?"]);
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatch(STRANGER);
  });
});

describe("a group", () => {
  const named = "@agent_factory_bot";
  let forum: Place;
  let topic: Place;

  beforeAll(async () => {
    const made = await world.telegram("chats", {
      bot: world.environment.bot.username,
      type: "supergroup",
      title: "Acme",
      topics: ["Deliveries"],
    });
    const { chat, topics } = z
      .object({
        chat: z.object({ id: z.number() }),
        topics: z.array(z.object({ message_thread_id: z.number() })),
      })
      .parse(made);
    forum = { id: chat.id };
    topic = { id: chat.id, threadId: topics[0]!.message_thread_id };
  });

  it("is answered in the group and in its topic, each a conversation of its own, quoting who asked", async () => {
    const inGroup = await world.phone.write(ada, `${named} My order is 4711.`, forum);
    const answer = await world.answerTo(forum, inGroup);
    expect(answer.body.text).toContain("My order is 4711.");
    expect(answer.body.text).toContain("This is turn 1");
    expect(answer.body).toMatchObject({ reply_to_message: { message_id: inGroup.messageId } });
    expect(answer.body["message_thread_id"]).toBeUndefined();

    const inTopic = await world.phone.write(ada, `${named} When does the van come?`, topic);
    const threaded = await world.answerTo(topic, inTopic);
    expect(threaded.body.text).toContain("When does the van come?");
    expect(threaded.body.text).toContain("This is turn 1");
    expect(threaded.body.text).not.toContain("4711");
    expect(threaded.body).toMatchObject({ message_thread_id: topic.threadId, is_topic_message: true });
  });

  it("in which people talk to each other hears nothing of the bot", async () => {
    const before = (await world.answers(forum)).length;
    const sent = await world.phone.write(carla, "Shall we order again?", forum);
    await world.until("the webhook has taken it", async () =>
      (await world.phone.webhookAttempts()).some(
        ({ updateId, status }) => updateId === sent.updateId && status === 200,
      ),
    );
    await world.deliveriesDone();
    expect(await world.answers(forum)).toHaveLength(before);
  });
});

describe("an app without Telegram", () => {
  it("chats over the API with the example of the client, and gets the same answer by signed webhook", async () => {
    const onEvent = (event: WebhookEvent): number => told.push(event);
    example = await startExample({ siteUrl, serviceKey, agentKey: "concierge", onEvent });
    const response = await fetch(`${example.url}/chat`, {
      method: "POST",
      body: JSON.stringify({ userId: "emil", text: soulAsked("concierge") }),
    });
    const answered = (await response.json()) as { messageId: string };
    expect(answered).toMatchObject({ status: "done", answer: soulFound("concierge") });
    await world.until("the webhook has come", () => Promise.resolve(told.length > 0));
    expect(told).toMatchObject([
      {
        type: "message.answered",
        data: { messageId: answered.messageId, userId: "emil", answer: soulFound("concierge") },
      },
    ]);
    expect(await acme.getMessage(answered.messageId)).toMatchObject({
      agentKey: "concierge",
      delivery: { state: "none" },
    });
  });

  it("is told again when its receiver was out of order, with the same event and a right signature", async () => {
    receiver = await startWebhookReceiver([500]);
    const endpoint = await acme.createWebhookEndpoint(receiver.url);
    receiver.trust(endpoint.signingSecret);
    const { messageId } = await acme.enqueue({
      conversationId: "basket-7",
      agentKey: "concierge",
      userId: "emil",
      text: "Is it still there?",
    });
    await world.until("the event has come twice", () => Promise.resolve(receiver.deliveries.length === 2));
    const [failed, repeated] = receiver.deliveries;
    expect([failed?.status, repeated?.status]).toEqual([500, 200]);
    expect(repeated?.event).toEqual(failed?.event);
    expect(repeated?.event).toMatchObject({ type: "message.answered", data: { messageId } });
    expect(receiver.refused).toEqual([]);
    await world.until("the event is settled", async () => {
      const [event] = await acme.listWebhookEvents(endpoint.endpointId);
      return event?.state === "delivered" && event.attempts === 2;
    });
  });

  it("follows a conversation and goes on where it stopped", async () => {
    const say = (text: string) =>
      acme.enqueue({ conversationId: "basket-8", agentKey: "concierge", userId: "emil", text });
    await say("One.");
    const answers = acme.subscribe("basket-8");
    const first = (await answers.next()).value ?? undefined;
    expect(first?.content).toContain("This is turn 1");
    // Asked for before it exists: it comes on the open request.
    const coming = answers.next();
    await say("Two.");
    const second = (await coming).value ?? undefined;
    expect(second?.content).toContain("This is turn 2");
    await answers.return();
    const resumed = acme.subscribe("basket-8", { after: first?.seq ?? -1 });
    expect((await resumed.next()).value).toEqual(second);
    await resumed.return();
  });
});

describe("a push", () => {
  it("came at its minute into the person's own chat and history, once, and the agent remembers it", async () => {
    await world.until("the push was answered", async () =>
      (await world.answers(dora, support.phone)).some((text) =>
        text.includes("What is planned for today, Dora?"),
      ),
    );
    const dispatches = await acme.listPushDispatchesByJob(pushed.jobId);
    expect(dispatches).toMatchObject([{ outcome: "enqueued", slotAt: pushed.slotAt }]);
    const late = dispatches[0]!.dispatchedAt - pushed.slotAt;
    console.info(`the slot was dispatched ${late} ms after its minute began`);

    const conversation = `telegram:${support.id}:${dora.id}`;
    const { messages } = await acme.listConversationMessages(conversation);
    expect(messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
    expect(messages[0]?.content).toContain("What is planned for today, Dora?");
    const remembered = await world.ask(dora, "And what else?", support.phone);
    expect(remembered).toContain("This is turn 2");
    expect(remembered).toContain('your first message was "What is planned for today, Dora?');
    const { rows } = await operator.run<{ rows: Array<{ target: string }> }>(
      "audit",
      "--action",
      "push_job.create",
    );
    expect(rows.map(({ target }) => target)).toEqual([pushed.jobId]);
  });

  it("that an operator sends by hand comes at once, and its slots stay as they are", async () => {
    const before = (await world.answers(dora, support.phone)).length;
    expect(await operator.run("push", "trigger", "acme", pushed.jobId)).toMatchObject({
      outcome: "enqueued",
    });
    await world.until(
      "it was answered",
      async () => (await world.answers(dora, support.phone)).length > before,
    );
    const [job] = await acme.listPushJobsForUser("dora");
    expect(job?.nextRunAt).toBe(pushed.slotAt + 24 * 60 * SLOT_MS);
  });
});

describe("a chat that is bound anew", () => {
  it("to another agent begins another conversation there, and finds the former again on its return", async () => {
    expect(await pair(ada, "ada", "concierge")).toMatch(/^You are connected\./);
    expect(await world.ask(ada, soulAsked("concierge"))).toBe(soulFound("concierge"));
    const second = await world.ask(ada, "What did I tell you first?");
    expect(second).toContain("This is turn 2");
    expect(second).not.toContain("vermilion");
    await pair(ada, "ada", "default");
    expect(await world.ask(ada, "And what had I told you?")).toContain("vermilion");
  });

  it("to another user of the app ends the first one's binding", async () => {
    await pair(ada, "ada-at-work", "default");
    const former = await acme.getUserAgentBinding("ada");
    expect(former.active).toBeNull();
    expect(former.history[0]).toMatchObject({ revokedBecause: "telegram user bound to another person" });
    expect((await acme.getUserAgentBinding("ada-at-work")).active).toMatchObject({ agentKey: "default" });
  });

  it("is a stranger's after its binding was revoked: one reply, and no turn", async () => {
    await operator.run("bindings", "revoke", "ada-at-work", "--company", "acme");
    const turns = (await world.times(ada)).length;
    const replies = await writeAsStranger(ada, world.phone, ["Are you there?", "Hello?", "/status"]);
    expect(replies).toHaveLength(1);
    expect(replies[0]).toMatch(STRANGER);
    expect(await world.times(ada)).toHaveLength(turns);
    const trigger = await acme.createPushJobCustom({
      userId: "ada-at-work",
      title: "Missed you",
      text: "Come back!",
      timeZone: "UTC",
      schedule: { kind: "manual" },
    });
    expect(await acme.triggerPushJobNow(trigger.jobId)).toMatchObject({ outcome: "skipped" });
    expect(await pair(ada, "ada", "default")).toMatch(/^You are connected\./);
    expect(await world.ask(ada, "Back again: what was it?")).toContain("vermilion");
  });
});
