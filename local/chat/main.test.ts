import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startTelegram } from "../telegram/server.ts";
import { findEnvironment } from "./environment.ts";
import type { Json } from "../service/testing/json.ts";

const TOKEN = "4242:AAbcdefghijklmnopqrstuvwxyz012345678";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "chat-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A local Telegram with a bot that answers each message with what `reply` does. */
async function startBot(
  reply: (text: string, send: (method: string, params: object) => Promise<Json>) => Promise<void>,
) {
  const server = await startTelegram({
    state: temporaryFolder(),
    bots: [{ token: TOKEN, username: "test_bot" }],
    log: () => undefined,
  });
  const stopped = new AbortController();
  const call = async (method: string, params: object): Promise<Json> => {
    const response = await fetch(`${server.url}/bot${TOKEN}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(params),
    });
    return ((await response.json()) as { result: unknown }).result;
  };
  const loop = async (): Promise<void> => {
    let offset = 0;
    while (!stopped.signal.aborted) {
      const updates = await call("getUpdates", { offset, timeout: 20 });
      for (const update of updates ?? []) {
        offset = update.update_id + 1;
        const chat_id = update.message.chat.id;
        await reply(update.message.text, (method, params) => call(method, { chat_id, ...params }));
      }
    }
  };
  const running = loop().catch((error: unknown) => {
    if (!stopped.signal.aborted) throw error;
  });
  onTestFinished(async () => {
    stopped.abort();
    await server.close();
    await running;
  });
  return server.url;
}

/** Runs the chat with these lines on stdin. */
async function chat(
  args: string[],
  input: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, ...args]);
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { code, stdout, stderr };
}

test("each line of a pipe is sent and answered before the next", async () => {
  const url = await startBot((text, send) => send("sendMessage", { text: `echo ${text}` }));
  const result = await chat(
    ["--telegram-url", url, "--bot", "@test_bot", "--settle-ms", "50"],
    "one\n\ntwo\n/quit\nthree\n",
  );
  expect(result).toEqual({ code: 0, stdout: "echo one\necho two\n", stderr: "" });
});

test("a reply counts whole: several parts, a typing bot, a preview in its last version", async () => {
  const url = await startBot(async (_text, send) => {
    await send("sendChatAction", { action: "typing" });
    const preview = await send("sendMessage", { text: "thinking" });
    await send("editMessageText", { message_id: preview.message_id, text: "part one" });
    await send("sendMessage", { text: "part two" });
  });
  const result = await chat(["--telegram-url", url, "--bot", "test_bot", "--settle-ms", "300"], "go\n");
  expect(result).toEqual({ code: 0, stdout: "part one\npart two\n", stderr: "" });
});

test("a reader that has seen enough ends the chat, without a stack and without further messages", async () => {
  const heard: string[] = [];
  const url = await startBot((text, send) => {
    heard.push(text);
    return send("sendMessage", { text: `echo ${text}` }).then(() => undefined);
  });
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const child = spawn(process.execPath, [
    main,
    "--telegram-url",
    url,
    "--bot",
    "test_bot",
    "--settle-ms",
    "50",
  ]);
  let stderr = "";
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  child.stdout.destroy();
  child.stdin.on("error", () => undefined);
  child.stdin.write("one\n");
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  expect([await ended, stderr]).toEqual([0, ""]);
  expect(heard).toEqual(["one"]);
});

test("no answer in time ends with 1 and says which line", async () => {
  const url = await startBot(() => Promise.resolve());
  const result = await chat(["--telegram-url", url, "--bot", "test_bot", "--timeout-ms", "100"], "anyone?\n");
  expect(result).toMatchObject({ code: 1, stdout: "" });
  expect(result.stderr).toContain("No answer within");
  expect(result.stderr).toContain("npm run factory -- workers list");
});

test("a bot cannot send control characters to the terminal", async () => {
  const url = await startBot((_text, send) => send("sendMessage", { text: "a\u001b[2Jb" }));
  const result = await chat(["--telegram-url", url, "--bot", "test_bot", "--settle-ms", "50"], "x\n");
  expect(result.stdout).toBe("a[2Jb\n");
});

test("an unknown bot, a server that is gone and a wrong flag are clear errors", async () => {
  const url = await startBot(() => Promise.resolve());
  const unknown = await chat(["--telegram-url", url, "--bot", "nobody"], "x\n");
  expect([unknown.code, unknown.stderr]).toEqual([
    1,
    expect.stringContaining("bot 'nobody' is not registered"),
  ]);
  const gone = await chat(["--telegram-url", "http://127.0.0.1:2", "--bot", "x"], "x\n");
  expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining("npm run local")]);
  const wrong = await chat(["--telegram-url", url, "--bot", "x", "--user-id", "me"], "x\n");
  expect([wrong.code, wrong.stderr]).toEqual([2, "--user-id must be a positive integer, got 'me'.\n"]);
});

test("the running environment is found by its file, and a missing one names the command", () => {
  const file = join(temporaryFolder(), "environment.json");
  expect(() => findEnvironment(file)).toThrow("npm run local");
  writeFileSync(file, "{ half");
  expect(() => findEnvironment(file)).toThrow("is not readable");
  writeFileSync(
    file,
    JSON.stringify({ telegram: { url: "http://127.0.0.1:1", botUsername: "b" }, model: {} }),
  );
  expect(findEnvironment(file)).toEqual({ telegramUrl: "http://127.0.0.1:1", bot: "b" });
});
