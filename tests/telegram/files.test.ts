/** Files between people and agents over the embedded Telegram: what arrives in a folder, what arrives in a chat. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunningService } from "../../local/service/process.ts";
import { startTelegram } from "../../local/telegram/server.ts";
import { parseUpdate } from "../../runtime/convex/policy/telegramUpdate.ts";
import { buildSend, type SendJob } from "../../runtime/convex/replies/sendRequest.ts";
import { callTelegram } from "../../runtime/convex/replies/telegramApi.ts";
import type { Attachment, HydrationBundle } from "../../runtime/convex/validators.ts";
import { receiveAttachments } from "../../runtime/worker/src/attachments/receive.ts";

const BOT = { token: "4242:AAbcdefghijklmnopqrstuvwxyz012345678", username: "test_bot" };
const PERSON = { id: 77, first_name: "Ada" };
const MEGABYTE = 1024 * 1024;

let telegram: RunningService;
let dir: string;
let folder: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "af-files-"));
  telegram = await startTelegram({ state: join(dir, "telegram"), bots: [BOT], log: () => undefined });
});
afterAll(async () => {
  await telegram?.close();
  await rm(dir, { recursive: true });
});

// Answers of the Bot API: each caller reads the fields of its own method.
// oxlint-disable-next-line no-explicit-any
async function bot(method: string, body: object = {}): Promise<any> {
  const response = await fetch(`${telegram.url}/bot${BOT.token}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return ((await response.json()) as { result: unknown }).result;
}

async function control(path: string, body: object): Promise<unknown> {
  const response = await fetch(`${telegram.url}/control/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ bot: BOT.username, ...body }),
  });
  if (!response.ok) throw new Error(await response.text());
  return await response.json();
}

let read = 0;
/** The person sends a message; its attachments as the backend would enqueue them. */
async function attachmentsOf(message: object): Promise<Attachment[]> {
  await control("messages", { chatId: PERSON.id, from: PERSON, ...message });
  const updates = (await bot("getUpdates", { offset: read })) as Array<{ update_id: number }>;
  const last = updates.at(-1);
  read = (last?.update_id ?? 0) + 1;
  const parsed = parseUpdate(last);
  if (!parsed.ok || parsed.event.kind !== "message") throw new Error("no message arrived");
  return parsed.event.attachments;
}

/** Receives as a worker does. @returns the lines for the model, and what lies in the inbox. */
async function receive(attachments: Attachment[]): Promise<{ lines: string[]; files: Map<string, Buffer> }> {
  folder = await mkdtemp(join(dir, "conversation-"));
  const bundle = {
    messageId: "message-12345678",
    telegramBotToken: BOT.token,
    telegramApiUrl: telegram.url,
    attachments: attachments.map(({ storageId: _, ...rest }) => ({ ...rest, url: null })),
  } as unknown as HydrationBundle;
  const { lines } = await receiveAttachments(folder, bundle, AbortSignal.timeout(30_000));
  const names = await readdir(join(folder, "inbox")).catch(() => []);
  const files = new Map<string, Buffer>();
  for (const name of names) files.set(name, await readFile(join(folder, "inbox", name)));
  return { lines, files };
}

const file = (text: string, more: object = {}): object => ({
  content: Buffer.from(text).toString("base64"),
  ...more,
});

describe("what a person sends", () => {
  test.each([
    ["photo", { photo: file("a picture of some length") }, "a picture of some length", /photo\.jpg$/],
    ["voice", { voice: file("a voice", { mime: "audio/ogg" }) }, "a voice", /voice\.ogg$/],
    ["audio", { audio: file("a song", { name: "song.mp3", mime: "audio/mpeg" }) }, "a song", /song\.mp3$/],
    ["video", { video: file("a film", { name: "film.mp4", mime: "video/mp4" }) }, "a film", /film\.mp4$/],
    [
      "document",
      { document: file("a report", { name: "Q3 report.pdf", mime: "application/pdf" }) },
      "a report",
      /Q3 report\.pdf$/,
    ],
  ])("a %s lies whole in the inbox and is named to the model", async (kind, message, content, name) => {
    const { lines, files } = await receive(await attachmentsOf(message));
    const [[path, bytes] = ["", Buffer.alloc(0)]] = [...files];
    expect(path).toMatch(name);
    expect(bytes.toString()).toBe(content);
    expect(lines).toEqual([
      expect.stringMatching(`^\\[${kind} attached: inbox/.*, ${content.length} bytes\\]$`),
    ]);
  });

  test.each([
    ["that says its size", { name: "big.iso", size: 21 * MEGABYTE }, true],
    ["whose size no update tells", { name: "big.iso", size: 21 * MEGABYTE }, false],
  ])(
    "a file beyond Telegram's limit %s is named with the reason, and not asked for",
    async (_how, details, sized) => {
      const found = await attachmentsOf({ document: file("x", details) });
      const { lines, files } = await receive(
        sized ? found : found.map(({ sizeBytes: _, ...rest }) => rest as Attachment),
      );
      expect(lines).toEqual(["[document attached, but not available: it is larger than 20 MB]"]);
      expect(files.size).toBe(0);
    },
  );

  test("a file that Telegram has forgotten is named with the reason", async () => {
    const found = await attachmentsOf({ document: file("old", { name: "old.txt" }) });
    await control("faults", {
      method: "getFile",
      kind: "status",
      status: 400,
      description: "Bad Request: wrong file_id or the file is temporarily unavailable",
    });
    const { lines } = await receive(found);
    expect(lines).toEqual(["[document attached, but not available: Telegram no longer has it]"]);
    // Nothing of it is lost for good: the next attempt asks again.
    expect((await receive(found)).files.size).toBe(1);
  });

  test("neither the token nor an address is in what the model reads", async () => {
    await control("faults", { method: "getFile", kind: "reset" });
    const { lines } = await receive(await attachmentsOf({ document: file("x", { name: "x.txt" }) }));
    expect(lines).toEqual(["[document attached, but not available: it could not be downloaded]"]);
  });
});

describe("what an agent makes", () => {
  const job = (fileName: string, mimeType: string, more: Partial<SendJob> = {}): SendJob =>
    ({
      attempt: 1,
      apiUrl: telegram.url,
      token: BOT.token,
      destination: { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: `${PERSON.id}` },
      content: { kind: "file", storageId: "s", fileName, mimeType },
      fallbacks: { plainText: false, withoutThread: false, asDocument: false },
      editsMessageId: null,
      timeoutMs: 20_000,
      ...more,
    }) as unknown as SendJob;
  const send = async (sent: SendJob, content: string) => {
    const { method, body } = buildSend(sent, new Blob([content]));
    return await callTelegram({ apiUrl: telegram.url, token: BOT.token, method, body, timeoutMs: 20_000 });
  };

  test("a picture goes as a photo, anything else as a document under its own name", async () => {
    await attachmentsOf({ text: "hello" });
    expect(await send(job("chart.png", "image/png"), "a chart")).toMatchObject({
      kind: "ok",
      result: { photo: expect.any(Array) },
    });
    expect(await send(job("Umsätze 2026.csv", "text/csv"), "a;b")).toMatchObject({
      kind: "ok",
      result: { document: { file_name: "Umsätze 2026.csv", mime_type: "text/csv", file_size: 3 } },
    });
  });

  test("it goes to the topic that asked, and quotes the message", async () => {
    const chatId = -1_001_234_567_890;
    const { topics } = (await control("chats", {
      id: chatId,
      type: "supergroup",
      title: "Team",
      topics: ["News", "Help"],
    })) as { topics: Array<{ message_thread_id: number }> };
    const threadId = topics[1]?.message_thread_id ?? 0;
    await control("messages", {
      chatId,
      from: PERSON,
      text: "@test_bot a chart, please",
      message_thread_id: threadId,
    });
    const [update] = (await bot("getUpdates", { offset: read })) as Array<{
      message: { message_id: number };
    }>;
    const asked = update?.message.message_id ?? 0;
    const sent = await send(
      job("chart.png", "image/png", {
        destination: {
          kind: "telegram",
          botSecretRef: "telegram.botToken.default",
          chatId: `${chatId}`,
          threadId,
          replyToMessageId: asked,
        },
      }),
      "a chart",
    );
    expect(sent).toMatchObject({
      kind: "ok",
      result: { chat: { id: chatId }, message_thread_id: threadId, reply_to_message: { message_id: asked } },
    });
  });
});
