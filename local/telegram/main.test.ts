import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startProcess } from "../service/testing/process.ts";
import { eventually, PERSON, startWebhook, temporaryFolder, TOKEN } from "./testing/world.ts";
import type { Json } from "../service/testing/json.ts";

function prepare(): { state: string; args: string[] } {
  const state = temporaryFolder();
  const tokenFile = join(state, "token");
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
  return { state, args: ["--state", state, "--bot", `${tokenFile}:test_bot`] };
}

async function call(url: string, path: string, body?: unknown): Promise<Json> {
  const response = await fetch(`${url}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.json();
}

test("prints exactly one ready line and stops with 0 on SIGTERM", async () => {
  const telegram = await startProcess("telegram", prepare().args);
  expect((await call(telegram.url, `/bot${TOKEN}/getMe`)).result.username).toBe("test_bot");
  expect(await telegram.stop("SIGTERM")).toBe(0);
  expect(telegram.stdout.map((line) => JSON.parse(line))).toEqual([{ ready: true, url: telegram.url }]);
});

test("after SIGKILL everything is there and an undelivered update goes out", async () => {
  const { args } = prepare();
  const first = await startProcess("telegram", args);
  let healthy = false;
  const webhook = await startWebhook(() => ({ status: healthy ? 200 : 503 }));
  await call(first.url, `/bot${TOKEN}/setWebhook`, { url: webhook.url, secret_token: "kept" });
  const document = { content: Buffer.from("file bytes").toString("base64"), name: "a.txt" };
  await call(first.url, "/control/messages", { bot: "test_bot", chatId: 77, from: PERSON, document });
  await call(first.url, `/bot${TOKEN}/sendMessage`, { chat_id: 77, text: "answer" });
  await webhook.count(2);
  await first.stop("SIGKILL");

  healthy = true;
  const before = webhook.received.length;
  const second = await startProcess("telegram", args);
  await webhook.count(before + 1);
  const delivered = webhook.received.at(-1);
  expect(delivered?.headers["x-telegram-bot-api-secret-token"]).toBe("kept");
  const file = await call(second.url, `/bot${TOKEN}/getFile`, {
    file_id: delivered?.update.message.document.file_id,
  });
  const bytes = await fetch(`${second.url}/file/bot${TOKEN}/${file.result.file_path}`);
  expect(await bytes.text()).toBe("file bytes");
  const { entries } = await call(second.url, "/control/transcript?bot=test_bot&chatId=77");
  expect(entries.map((entry: Json) => entry.kind)).toEqual(["message", "message"]);
  const info = await eventually(
    () => call(second.url, `/bot${TOKEN}/getWebhookInfo`),
    ({ result }) => result.pending_update_count === 0,
  );
  expect(info.result.pending_update_count).toBe(0);
  const { result } = await call(second.url, `/bot${TOKEN}/sendMessage`, { chat_id: 77, text: "more" });
  expect(result.message_id).toBe(3);
});

test.each([
  [[], /--state <dir> is required/],
  [["--state", "x", "--port", "seventy"], /--port must be an integer from 0 to 65535, got 'seventy'/],
  [["--state", "x", "--bot", "nofile"], /--bot must be <token file>:<username>/],
  [["--state", "x", "--bot", "/does/not/exist:bot"], /the token file cannot be read/],
  [["--state", "x", "--time-scale", "0"], /--time-scale must be a number above 0/],
  [["--state", "x", "--wrong"], /--wrong/],
])("a wrong start (%j) says what is wrong", async (args, problem) => {
  await expect(startProcess("telegram", args)).rejects.toThrow(problem);
});

test("a second server on the same folder, and a busy port, are refused clearly", async () => {
  const { state, args } = prepare();
  const first = await startProcess("telegram", args);
  await expect(startProcess("telegram", args)).rejects.toThrow(`Another server is using ${state}`);
  const { port } = new URL(first.url);
  const busy = startProcess("telegram", ["--state", temporaryFolder(), "--port", port]);
  await expect(busy).rejects.toThrow(`Port ${port} of 127.0.0.1 is already in use`);
});

test("a malformed token is refused without being printed", async () => {
  const state = temporaryFolder();
  const tokenFile = join(state, "token");
  writeFileSync(tokenFile, "not-a-token-but-secret");
  const started = startProcess("telegram", ["--state", state, "--bot", `${tokenFile}:test_bot`]);
  await expect(started).rejects.toThrow(/^exit 1: telegram: token must look like (?!.*not-a-token)/);
});
