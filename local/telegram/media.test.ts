import { expect, test } from "vitest";
import { PERSON, startWorld, TOKEN } from "./testing/world.ts";
import type { Json } from "../service/testing/json.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const download = async (url: string, path: string): Promise<Response> =>
  fetch(`${url}/file/bot${TOKEN}/${path}`);

test("a bot downloads what a person sent, and the largest photo is the whole picture", async () => {
  const world = await startWorld();
  const bytes = "picture bytes ".repeat(50);
  await world.control("messages", {
    bot: "test_bot",
    chatId: 77,
    from: PERSON,
    caption: "look",
    photo: { content: base64(bytes), width: 800, height: 600 },
  });
  const { result } = await world.bot("getUpdates");
  const { photo, caption } = result[0].message;
  expect(caption).toBe("look");
  expect(photo.map((size: Json) => size.width)).toEqual([56, 200, 800]);
  const { result: file } = await world.bot("getFile", { file_id: photo[2].file_id });
  expect(await (await download(world.url, file.file_path)).text()).toBe(bytes);
});

test.each(["document", "audio", "voice", "video"])(
  "a person's %s has its type and arrives whole",
  async (kind) => {
    const world = await startWorld();
    const file = { content: base64("content"), name: "a.bin", mime: "audio/ogg", duration: 3 };
    await world.control("messages", { bot: "test_bot", chatId: 77, from: PERSON, [kind]: file });
    const { result } = await world.bot("getUpdates");
    const media = result[0].message[kind];
    expect(media).toMatchObject({ mime_type: "audio/ogg", file_size: 7 });
    const { result: found } = await world.bot("getFile", { file_id: media.file_id });
    expect(await (await download(world.url, found.file_path)).text()).toBe("content");
  },
);

test("a file above 20 MB is announced but cannot be downloaded", async () => {
  const world = await startWorld();
  const limit = 20 * 1024 * 1024;
  const send = async (size: number): Promise<string> => {
    const document = { content: base64("x"), name: "big.zip", size };
    await world.control("messages", { bot: "test_bot", chatId: 77, from: PERSON, document });
    const { result } = await world.bot("getUpdates");
    return result.at(-1).message.document.file_id as string;
  };
  expect((await world.bot("getFile", { file_id: await send(limit) })).ok).toBe(true);
  const answer = await world.bot("getFile", { file_id: await send(limit + 1) });
  expect(answer).toMatchObject({ status: 400, description: "Bad Request: file is too big" });
});

test("a bot's upload can be sent again by its id, and shows in the transcript", async () => {
  const world = await startWorld();
  await world.say("hi");
  const form = new FormData();
  form.set("chat_id", "77");
  form.set("caption", "*report*");
  form.set("parse_mode", "MarkdownV2");
  form.set("document", new File(["numbers"], "report.csv", { type: "text/csv" }));
  const response = await fetch(`${world.url}/bot${TOKEN}/sendDocument`, { method: "POST", body: form });
  const { result } = (await response.json()) as { result: Json };
  expect(result).toMatchObject({
    document: { file_name: "report.csv", mime_type: "text/csv", file_size: 7 },
    caption: "report",
    caption_entities: [{ type: "bold", offset: 0, length: 6 }],
  });
  const again = await world.bot("sendDocument", { chat_id: 77, document: result.document.file_id });
  expect(again.result.document).toEqual(result.document);
  const { entries } = await world.control("transcript?bot=test_bot&chatId=77&after=1");
  expect(entries).toHaveLength(2);
});

test("a file of another bot is not found", async () => {
  const world = await startWorld();
  const otherToken = "555:BBother-bot-token";
  await world.control("bots", { token: otherToken, username: "other_bot" });
  await world.control("messages", {
    bot: "test_bot",
    chatId: 77,
    from: PERSON,
    document: { content: base64("x") },
  });
  const { result } = await world.bot("getUpdates");
  const { file_id } = result[0].message.document;
  expect((await world.bot("getFile", { file_id }, otherToken)).status).toBe(400);
  const { result: file } = await world.bot("getFile", { file_id });
  expect((await fetch(`${world.url}/file/bot${otherToken}/${file.file_path}`)).status).toBe(404);
  expect((await fetch(`${world.url}/file/bot9:AAAunknown/${file.file_path}`)).status).toBe(401);
});

test("too long a caption and a missing file are refused", async () => {
  const world = await startWorld();
  await world.say("hi");
  const long = await world.bot("sendPhoto", { chat_id: 77, photo: "x", caption: "y".repeat(1_025) });
  expect(long.description).toBe("Bad Request: message caption is too long");
  const missing = await world.bot("sendPhoto", { chat_id: 77 });
  expect(missing.description).toBe("Bad Request: there is no photo in the request");
});
