/**
 * The way out of the real backend to the embedded Telegram: every way in which Telegram may fail, and a SIGKILL of
 * the backend at named points of its sending. Nothing is lost, nothing is doubled, and what nobody can know is listed.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Person } from "../../local/environment/person.ts";
import type { Claim } from "../../runtime/convex/validators.ts";
import { until } from "../deployment/backend.ts";
import { Chat, type Part, type Scripted } from "../deployment/chat.ts";

/** Rounds of every kill; a release runs more of them. */
const ROUNDS = Number(process.env["CRASH_ROUNDS"] ?? "1");
/** The sender waits 20 s for Telegram, its watchdog 15 s more; a backend that comes back has to boot. */
const SETTLE_MS = 120_000;

const paragraph = (letter: string): string => letter.repeat(3_000);
const long = ["a", "b", "c"].map(paragraph);

function script({ payload: { messageText } }: Claim): Scripted {
  if (messageText === "long") return { answer: { text: long.join("\n\n") } };
  const answer = { text: `answer to **${messageText}**` };
  return messageText === "previewed" ? { answer, preview: "answer to" } : { answer };
}
/** Names a long part by its letter. */
const short = (text: string): string => (text.length === 3_000 ? `${text[0]}…` : text);

let started: Chat | undefined;
let people = 0;
const somebody = (name: string): Person => ({ id: 1_000 + ++people, first_name: name });

beforeAll(async () => {
  started = await Chat.start(script, { turn: { previewIntervalMs: 1_500 } });
});
afterAll(() => started?.close());

const states = (parts: readonly Part[]): string[] => parts.map(({ state }) => state);

describe("an answer that Telegram", () => {
  interface Case {
    what: string;
    rule: object;
    /** What becomes of the answer's part. */
    state: "sent" | "failed" | "unknown";
    error?: RegExp;
    attempts: number;
    /** Texts of this answer that reach the person. */
    arrives: string[];
    unreachable?: boolean;
  }
  const answer = "answer to first";
  const status = (code: number, description: string): object => ({
    kind: "status",
    status: code,
    description,
  });
  const cases: Case[] = [
    {
      what: "refuses for its markup goes as plain text",
      rule: status(400, "Bad Request: can't parse entities: Unsupported start tag"),
      state: "sent",
      attempts: 2,
      arrives: [answer],
    },
    {
      what: "refuses for another reason fails at once",
      rule: status(400, "Bad Request: TOPIC_WEIRDLY_BROKEN"),
      state: "failed",
      error: /TOPIC_WEIRDLY_BROKEN/,
      attempts: 1,
      arrives: [],
    },
    {
      what: "cannot bring to its chat fails for good",
      rule: status(400, "Bad Request: chat not found"),
      state: "failed",
      error: /chat not found/,
      attempts: 1,
      arrives: [],
      unreachable: true,
    },
    {
      what: "may not bring to somebody who blocked the bot fails for good",
      rule: status(403, "Forbidden: bot was blocked by the user"),
      state: "failed",
      error: /blocked by the user/,
      attempts: 1,
      arrives: [],
      unreachable: true,
    },
    {
      what: "refuses for the token is tried again, some seconds later",
      rule: status(401, "Unauthorized"),
      state: "sent",
      attempts: 2,
      arrives: [answer],
    },
    {
      what: "knows no bot for is tried again, some seconds later",
      rule: status(404, "Not Found"),
      state: "sent",
      attempts: 2,
      arrives: [answer],
    },
    {
      what: "asks to hold back is sent when it says",
      rule: { ...status(429, "Too Many Requests: retry after 2"), retryAfter: 2 },
      state: "sent",
      attempts: 2,
      arrives: [answer],
    },
    {
      what: "answers with its own failure may have arrived, and is not sent again",
      rule: status(500, "Internal Server Error"),
      state: "unknown",
      error: /Internal Server Error/,
      attempts: 1,
      arrives: [],
    },
    {
      what: "answers with something else may have arrived, and is not sent again",
      rule: { kind: "status", status: 200, body: "<html>captive portal</html>" },
      state: "unknown",
      error: /without a valid result/,
      attempts: 1,
      arrives: [],
    },
    {
      what: "takes and breaks off on is not sent again",
      rule: { kind: "actThenReset" },
      state: "unknown",
      error: /connection to Telegram broke/,
      attempts: 1,
      arrives: [answer],
    },
    {
      what: "breaks off on without taking it is not sent again either, since nobody can tell",
      rule: { kind: "reset" },
      state: "unknown",
      error: /connection to Telegram broke/,
      attempts: 1,
      arrives: [],
    },
    {
      what: "never answers for may have arrived, and is not sent again",
      rule: { kind: "hang" },
      state: "unknown",
      error: /no answer from Telegram within 20000 ms/,
      attempts: 1,
      arrives: [],
    },
  ];
  /** All cases run at once, each in its own chat; what they came to. */
  const outcomes = new Map<string, { parts: Part[]; received: string[]; person: Person }>();

  beforeAll(async () => {
    const chat = started!;
    await Promise.all(
      cases.map(async ({ what, rule }) => {
        const person = somebody(what);
        await chat.fault(person, rule);
        await chat.write(person, "first");
        await chat.settled(person, 1, SETTLE_MS);
        await chat.write(person, "second");
        const parts = await chat.settled(person, 2, SETTLE_MS);
        outcomes.set(what, { parts, received: await chat.received(person), person });
      }),
    );
  }, SETTLE_MS);

  test.each(cases)("$what", async ({ what, state, error, attempts, arrives, unreachable = false }) => {
    const chat = started!;
    const { parts, received, person } = outcomes.get(what)!;
    expect(parts[0]).toMatchObject({ state, attempts });
    if (error !== undefined) expect(parts[0]?.lastError).toMatch(error);
    expect(parts[0]?.unreachable ?? false).toBe(unreachable);
    // Whatever became of it, the conversation goes on behind it, and the next answer comes once.
    expect(states(parts)).toEqual([state, "sent"]);
    expect(received).toEqual([...arrives, "answer to second"]);
    const listed = (await chat.factory.backend.call("query", "factory:listDeliveries", { state, limit: 200 }))
      .value as Array<{ conversationId: string; lastError: string | null }>;
    const own = listed.filter(({ conversationId }) => conversationId === chat.conversationId(person));
    expect(own).toHaveLength(state === "sent" ? 2 : 1);
    if (state !== "sent") expect(own[0]?.lastError).toMatch(error!);
  });

  test("of several parts goes on in order behind a part that waits", async () => {
    const chat = started!;
    const person = somebody("waits");
    await chat.fault(person, { kind: "status", status: 429, retryAfter: 1, nth: 2 });
    await chat.write(person, "long");
    await chat.write(person, "after");
    expect(states(await chat.settled(person, 4, SETTLE_MS))).toEqual(["sent", "sent", "sent", "sent"]);
    expect((await chat.received(person)).map(short)).toEqual(["a…", "b…", "c…", "answer to after"]);
  });

  test("cannot be reached for is sent once it is back", async () => {
    const chat = started!;
    const person = somebody("refused connection");
    await chat.write(person, "first");
    await chat.settled(person, 1, SETTLE_MS);
    await chat.telegramGone();
    // No webhook is delivered meanwhile: the message comes from an operator.
    await chat.factory.backend.call("mutation", "factory:enqueue", {
      conversationId: chat.conversationId(person),
      agentKey: "default",
      payload: { provider: "telegram", providerUserId: `${person.id}`, messageText: "second" },
      destination: { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: `${person.id}` },
    });
    await until("the second answer was tried twice", async () => {
      const [, second] = await chat.parts(person);
      return second?.state === "pending" && second.attempts >= 2;
    });
    expect((await chat.parts(person))[1]?.lastError).toBe("Telegram's API cannot be reached");
    await chat.telegramBack();
    expect(states(await chat.settled(person, 2, SETTLE_MS))).toEqual(["sent", "sent"]);
    expect(await chat.received(person)).toEqual(["answer to first", "answer to second"]);
  });
});

describe("a backend that is killed", () => {
  interface Point {
    /** Where the backend is when it dies. */
    point: string;
    /** What holds the sender at that point. */
    rule: object;
    /** The point is reached when Telegram's refusal is recorded, not when it is given. */
    recorded?: true;
    method?: "editMessageText";
    /** Whether the part under way may be unknown afterwards. */
    ambiguous: boolean;
    text: string;
    arrives: string[];
  }
  /** Longer than it takes to notice the refusal and kill the backend, on a crowded machine too. */
  const RETRY_S = 15;
  const points: Point[] = [
    {
      point: "answer stored, nothing announced yet",
      rule: { kind: "status", status: 429, retryAfter: RETRY_S },
      recorded: true,
      ambiguous: false,
      text: "long",
      arrives: ["a…", "b…", "c…"],
    },
    {
      point: "between two parts",
      rule: { kind: "status", status: 429, retryAfter: RETRY_S, nth: 2 },
      recorded: true,
      ambiguous: false,
      text: "long",
      arrives: ["a…", "b…", "c…"],
    },
    {
      point: "announced, not sent",
      rule: { kind: "hang" },
      ambiguous: true,
      text: "short",
      arrives: [],
    },
    {
      point: "sent, not recorded",
      rule: { kind: "actThenHang" },
      ambiguous: true,
      text: "short",
      arrives: ["answer to short"],
    },
    {
      point: "second part sent, not recorded",
      rule: { kind: "actThenHang", nth: 2 },
      ambiguous: true,
      text: "long",
      arrives: ["a…", "b…", "c…"],
    },
    {
      point: "answer written over its preview, not recorded",
      rule: { kind: "actThenHang" },
      method: "editMessageText",
      // Editing twice is editing once: it is simply done again.
      ambiguous: false,
      text: "previewed",
      arrives: ["answer to previewed"],
    },
  ];
  const killed: Array<Point & { round: number; person: Person }> = [];

  beforeAll(
    async () => {
      const chat = started!;
      for (let round = 1; round <= ROUNDS; round += 1) {
        for (const point of points) {
          const person = somebody(`${point.point} ${round}`);
          const met = await chat.fault(person, point.rule, point.method);
          await chat.write(person, point.text);
          await met();
          if (point.recorded) {
            await until("the refusal is recorded", async () =>
              (await chat.parts(person)).some(({ state, attempts }) => state === "pending" && attempts === 1),
            );
          }
          await chat.factory.backend.kill();
          await chat.factory.backend.boot();
          await chat.write(person, "afterwards");
          killed.push({ ...point, round, person });
        }
      }
    },
    60_000 + ROUNDS * 60_000,
  );

  test.each(points)("at '$point' loses nothing and doubles nothing", async ({ point }) => {
    const chat = started!;
    for (const { person, text, arrives, ambiguous } of killed.filter((kill) => kill.point === point)) {
      const count = { long: 4, short: 2, previewed: 3 }[text] ?? 0;
      const parts = await chat.settled(person, count, SETTLE_MS);
      expect((await chat.received(person)).map(short)).toEqual([...arrives, "answer to afterwards"]);
      expect(states(parts).filter((state) => state === "unknown")).toHaveLength(ambiguous ? 1 : 0);
      expect(states(parts).filter((state) => state !== "unknown")).toEqual(
        Array.from({ length: count - (ambiguous ? 1 : 0) }, () => "sent"),
      );
    }
  });

  test("lists every delivery of unknown fate, and no more than there were kills", async () => {
    const chat = started!;
    const listed = (
      await chat.factory.backend.call("query", "factory:listDeliveries", { state: "unknown", limit: 200 })
    ).value as Array<{ conversationId: string; lastError: string }>;
    const own = new Set(killed.map(({ person }) => chat.conversationId(person)));
    const unknown = listed.filter(({ conversationId }) => own.has(conversationId));
    expect(unknown.map(({ conversationId }) => conversationId).toSorted()).toEqual(
      killed
        .filter(({ ambiguous }) => ambiguous)
        .map(({ person }) => chat.conversationId(person))
        .toSorted(),
    );
    expect(unknown.length).toBeLessThanOrEqual(killed.length);
    expect(unknown.every(({ lastError }) => lastError.includes("the sender stopped"))).toBe(true);
    console.info(
      `${killed.length} kills of the backend: ${unknown.length} deliveries of unknown fate, each listed`,
    );
  });
});
