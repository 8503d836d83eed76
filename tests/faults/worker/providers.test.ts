/**
 * A real gateway and the providers that its environment names: each is asked at its own address, in its own API, with
 * its own key, and where one fails the next one answers the same turn.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { planModels } from "../../../runtime/worker/src/agent/models.ts";
import { type Providers, startProviders } from "../../../runtime/worker/testing/providers.ts";
import { startTestWorker, type TestWorker } from "../../../runtime/worker/testing/worker.ts";

const MOONSHOT = "api.moonshot.ai";
const ANTHROPIC = "api.anthropic.com";
const GOOGLE = "generativelanguage.googleapis.com";
const urls: Record<string, string> = {
  [MOONSHOT]: `${MOONSHOT}/v1/chat/completions`,
  [ANTHROPIC]: `${ANTHROPIC}/v1/messages`,
  [GOOGLE]: `${GOOGLE}/v1beta/models/gemini-3-flash:streamGenerateContent`,
};
const keys: Record<string, string> = {
  [MOONSHOT]: "key-of-moonshot",
  [ANTHROPIC]: "key-of-anthropic",
  [GOOGLE]: "key-of-google",
};

let providers: Providers;
let site: TestWorker;
beforeAll(async () => {
  providers = await startProviders((host) => `This is ${host}`);
  const planned = planModels({
    OPENCLAW_AGENT_MODEL: "moonshot/kimi-k2.5",
    OPENCLAW_AGENT_MODEL_FALLBACKS: "anthropic/claude-sonnet-5, google/gemini-3-flash",
    MOONSHOT_API_KEY: keys[MOONSHOT],
    ANTHROPIC_API_KEY: keys[ANTHROPIC],
    GEMINI_API_KEY: keys[GOOGLE],
  });
  if (!planned.ok) throw new Error(planned.problems.join());
  const models = {
    ...planned.plan,
    providers: planned.plan.providers.map((provider) => ({
      ...provider,
      baseUrl: providers.standInFor(provider.baseUrl),
    })),
  };
  site = await startTestWorker(() => ({ kind: "status", status: 500 }), { models });
}, 180_000);
afterAll(async () => {
  await site?.close();
  await providers?.close();
});
beforeEach(() => {
  providers.failing.clear();
  providers.requests.length = 0;
});

const answered = async (conversationId: string) => {
  const { deployment } = site;
  return await deployment.finished(deployment.enqueue(conversationId, `hello from ${conversationId}`));
};

test("the primary model answers alone", async () => {
  const message = await answered("nothing fails");
  expect(message.answer?.text).toBe(`This is ${MOONSHOT}`);
  expect(new Set(providers.requests.map(({ url }) => url))).toEqual(new Set([urls[MOONSHOT]]));
});

const outages: Array<[string, number, string[], string]> = [
  ["has an outage", 500, [MOONSHOT], ANTHROPIC],
  ["is overloaded", 529, [MOONSHOT], ANTHROPIC],
  ["holds back", 429, [MOONSHOT], ANTHROPIC],
  ["has an outage, and so has the next", 500, [MOONSHOT, ANTHROPIC], GOOGLE],
  // The last one: a refused key is left alone for a minute.
  ["refuses its key", 401, [MOONSHOT], ANTHROPIC],
];
const fail = (hosts: readonly string[], status: number): void => {
  for (const host of hosts) providers.failing.set(host, status);
};

test("settings that an agent leaves in its folder do not reach the engine", async () => {
  await answered("settings");
  const root = join(site.dataDir, "conversations");
  const prefix = createHash("sha256").update("settings").digest("hex").slice(0, 20);
  const folder = (await readdir(root)).find((name) => name.startsWith(prefix)) ?? "none";
  await mkdir(join(root, folder, ".openclaw"));
  const settings = JSON.stringify({ retry: { provider: { maxRetries: 4 } } });
  await writeFile(join(root, folder, ".openclaw/settings.json"), settings);
  providers.requests.length = 0;
  fail([MOONSHOT], 500);
  expect((await answered("settings")).answer?.text).toBe(`This is ${ANTHROPIC}`);
  expect(providers.requests.filter(({ url }) => url === urls[MOONSHOT])).toHaveLength(2);
}, 120_000);

test.each(outages)(
  "a provider that %s (%i) costs no attempt: the next one answers the same turn",
  async (what, status, failing, last) => {
    fail(failing, status);
    const message = await answered(`a provider that ${what}`);
    expect(message).toMatchObject({ status: "done", attempts: 1, answer: { text: `This is ${last}` } });
    expect(new Set(providers.requests.map(({ url }) => url))).toEqual(
      new Set([...failing, last].map((host) => urls[host])),
    );
    for (const { url, key, body } of providers.requests) {
      expect(key, url).toBe(keys[url.split("/")[0] ?? ""]);
      expect(body, url).toContain(`hello from a provider that ${what}`);
    }
  },
  120_000,
);
