import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { limitBody } from "./limitBody.ts";
import { listenOnLoopback } from "./listen.ts";

const LIMIT = 10;

async function startEcho(): Promise<string> {
  const app = new Hono();
  app.use(
    "/*",
    limitBody(LIMIT, () => new Response("too large", { status: 413 })),
  );
  app.all("/", async (c) => c.text(await c.req.text()));
  const server = await listenOnLoopback((request) => app.fetch(request), 0);
  onTestFinished(() => server.close());
  return server.url;
}

/** A body whose length is not announced. */
const streamed = (text: string): RequestInit & { duplex: "half" } => ({
  method: "POST",
  body: new Blob([text]).stream(),
  duplex: "half",
});

test.each([
  ["announced", (text: string): RequestInit => ({ method: "POST", body: text })],
  ["streamed", streamed],
])("an %s body passes up to the limit and no further", async (_how, send) => {
  const url = await startEcho();
  expect(await (await fetch(url, send("x".repeat(LIMIT)))).text()).toBe("x".repeat(LIMIT));
  expect((await fetch(url, send("x".repeat(LIMIT + 1)))).status).toBe(413);
});

test.each(["GET", "DELETE"])("a %s without a body passes", async (method) => {
  const url = await startEcho();
  expect((await fetch(url, { method, headers: { "content-type": "application/json" } })).status).toBe(200);
});
