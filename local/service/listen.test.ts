import { expect, onTestFinished, test } from "vitest";
import { listenOnLoopback } from "./listen.ts";

test("a busy port is an error that names the port and the flag", async () => {
  const first = await listenOnLoopback(() => new Response("ok"), 0);
  onTestFinished(() => first.close());
  const second = listenOnLoopback(() => new Response("ok"), first.port);
  await expect(second).rejects.toThrow(
    `Port ${first.port} of 127.0.0.1 is already in use. Choose another with --port <n>`,
  );
});

test("closing frees the port, even while a request hangs", async () => {
  const hanging = await listenOnLoopback(() => new Promise<Response>(() => undefined), 0);
  const request = fetch(hanging.url).catch((error: Error) => error.message);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await hanging.close();
  expect(await request).toBe("fetch failed");
  const again = await listenOnLoopback(() => new Response("ok"), hanging.port);
  await again.close();
  expect(again.port).toBe(hanging.port);
});
