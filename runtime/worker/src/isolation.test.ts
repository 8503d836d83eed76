import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { readdir, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { obedientModel, textOf } from "../testing/model.ts";
import { openclawDir, startTestWorker, type TestWorker } from "../testing/worker.ts";

let site: TestWorker;
let bridge: Server;
let bridgeUrl: string;
const bridgeCalls: Array<{ headers: IncomingHttpHeaders; body: { functionKey: string; args: unknown } }> = [];

beforeAll(async () => {
  bridge = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      bridgeCalls.push({
        headers: request.headers,
        body: JSON.parse(body) as { functionKey: string; args: unknown },
      });
      response.end(JSON.stringify({ order: "shipped" }));
    });
  });
  await new Promise<void>((resolve) => bridge.listen(0, "127.0.0.1", resolve));
  bridgeUrl = `http://127.0.0.1:${(bridge.address() as AddressInfo).port}`;
  site = await startTestWorker(obedientModel);
}, 180_000);
afterAll(async () => {
  await site?.close();
  bridge?.closeAllConnections();
  bridge?.close();
});

async function ask(conversationId: string, text: string): Promise<string> {
  const message = await site.deployment.finished(site.deployment.enqueue(conversationId, text));
  return message.answer?.text ?? "";
}
const call = (tool: string, args: unknown): string => `CALL ${tool} ${JSON.stringify(args)}`;
/** Tools that the model was offered in its last request, sorted. */
const offered = (): string[] =>
  (site.model.requests.at(-1)?.tools ?? []).map((tool) => tool.function.name).sort();

/** A PNG of one pixel. */
const onePixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

/** Every tool that the installed OpenClaw names in its catalogue. */
async function catalogue(): Promise<string[]> {
  const dist = join(openclawDir, "dist");
  const file = (await readdir(dist)).find((name) => /^tool-catalog-.*\.mjs$/.test(name)) ?? "";
  const source = await readFile(join(dist, file), "utf8");
  return [...source.matchAll(/id: "(\w+)",\s*description:/g)].map(([, name = ""]) => name);
}

/** The folder of a conversation, found by a file that only it has. */
async function folderOf(marker: string): Promise<string> {
  const root = join(site.dataDir, "conversations");
  for (const name of await readdir(root)) {
    const found = await stat(join(root, name, marker)).catch(() => null);
    if (found !== null) return join(root, name);
  }
  throw new Error(`No conversation has ${marker}`);
}

describe("files", () => {
  beforeAll(async () => {
    await ask("victim", call("write", { path: "victim.md", content: "the secret of the victim" }));
    await ask("attacker", call("write", { path: "attacker.md", content: "mine" }));
  });

  test("an agent reads what it wrote in an earlier turn", async () => {
    expect(await ask("victim", call("read", { path: "victim.md" }))).toContain("the secret of the victim");
  });

  test("no path leads into another conversation, the engine or the machine", async () => {
    const victim = await folderOf("victim.md");
    const attacker = await folderOf("attacker.md");
    await symlink(victim, join(attacker, "link"));
    await symlink(join(victim, "victim.md"), join(attacker, "link.md"));
    const paths = [
      join(victim, "victim.md"),
      `../${victim.split("/").at(-1)}/victim.md`,
      "link/victim.md",
      "link.md",
      `file://${join(victim, "victim.md")}`,
      `@${join(victim, "victim.md")}`,
      "..",
      join(site.dataDir, "run/state/openclaw.json"),
      join(site.dataDir, "run/workspace/AGENTS.md"),
      join(site.dataDir, "run/state/agents/main/agent/openclaw-agent.sqlite"),
      join(site.dataDir, "run/state/state/openclaw.sqlite"),
      join(site.dataDir, "run/tmp/openclaw.log"),
      join(site.dataDir, "run"),
      "/proc/self/environ",
      `/proc/${site.worker.enginePid()}/environ`,
      `/proc/${process.pid}/environ`,
      `/proc/self/cwd/../conversations/${victim.split("/").at(-1)}/victim.md`,
      `/proc/self/root${victim}/victim.md`,
      `attacker.md/../../${victim.split("/").at(-1)}/victim.md`,
      `%2e%2e/${victim.split("/").at(-1)}/victim.md`,
      `..\\${victim.split("/").at(-1)}\\victim.md`,
      "media://inbound/victim.md",
      "/etc/hostname",
      "~/.bashrc",
    ];
    const said = (await ask("attacker", paths.map((path) => call("read", { path })).join("\n"))).split("\n");
    expect(
      site.model.requests.at(-1)?.messages.filter(({ role }) => role === "tool").length,
    ).toBeGreaterThanOrEqual(paths.length);
    const results = site.model.requests.at(-1)?.messages.slice(-paths.length).map(textOf) ?? [];
    expect(said.join("\n")).not.toContain("the secret of the victim");
    for (const [index, path] of paths.entries()) {
      expect(results[index], path).toMatch(/error|escape|not|outside/i);
      expect(results[index], path).not.toMatch(/OPENCLAW_GATEWAY_TOKEN|MODEL_KEY|SQLite format|HOME=/);
    }
  });

  test("writing and editing outside the own folder is refused", async () => {
    const victim = join(await folderOf("victim.md"), "victim.md");
    await ask("attacker", call("write", { path: victim, content: "overwritten" }));
    await ask("attacker", call("edit", { path: victim, oldText: "secret", newText: "lie" }));
    await ask("attacker", call("write", { path: "link/planted.md", content: "planted" }));
    expect(await readFile(victim, "utf8")).toBe("the secret of the victim");
    await expect(folderOf("planted.md")).rejects.toThrow("No conversation");
  });

  test("links are not followed into a snapshot", async () => {
    await ask("attacker", "go on");
    const paths =
      site.deployment
        .snapshotsOf("attacker")
        .at(-1)
        ?.files.map((file) => file.path) ?? [];
    expect(paths).toContain("attacker.md");
    expect(paths.filter((path) => path.startsWith("link"))).toEqual([]);
  });
});

describe("tools", () => {
  test("the model is offered reading, writing and editing, and nothing else", async () => {
    await ask("plain", "hello");
    expect(offered()).toEqual(["edit", "read", "write"]);
  });

  test("a call of any other tool that OpenClaw knows is refused", async () => {
    const names = (await catalogue()).filter((name) => !["read", "write", "edit"].includes(name));
    expect(names).toEqual(expect.arrayContaining(["exec", "sessions_history", "memory_search", "gateway"]));
    expect(names.length).toBeGreaterThan(50);
    const args: Record<string, unknown> = {
      exec: { command: "id" },
      sessions_history: { sessionKey: "agent:main:victim" },
      sessions_send: { sessionKey: "agent:main:victim", message: "hi" },
      memory_search: { query: "secret" },
      gateway: { action: "config.get" },
      ls: { path: ".." },
    };
    await ask(
      "hostile",
      [...names, "bridge_getOrder"].map((name) => call(name, args[name] ?? {})).join("\n"),
    );
    const results =
      site.model.requests
        .at(-1)
        ?.messages.slice(-names.length - 1)
        .map(textOf) ?? [];
    for (const [index, name] of [...names, "bridge_getOrder"].entries()) {
      expect(results[index], name).toMatch(/not found|not allowed|unknown tool/i);
    }
  });

  test("a profile may grant web tools; commands stay off on a worker that is shared", async () => {
    const { deployment } = site;
    const before = deployment.profile;
    deployment.profile = {
      ...before,
      revision: 20,
      toolPolicy: { allow: ["web_fetch", "exec", "sessions_list"] },
    };
    await ask("granted", "hello");
    expect(offered()).toEqual(["edit", "read", "web_fetch", "write"]);
    expect(await ask("granted", call("exec", { command: "id" }))).toMatch(/not found|not allowed/i);
    deployment.profile = { ...before, revision: 21 };
    await ask("granted", "hello");
    expect(offered()).toEqual(["edit", "read", "write"]);
  });
});

describe("bridge", () => {
  const functions = [
    {
      key: "orders.get",
      description: "Fetches an order",
      parametersJson: JSON.stringify({
        type: "object",
        properties: { orderId: { type: "string" } },
        required: ["orderId"],
      }),
    },
  ];
  const toolName = (): string => offered().find((name) => name.startsWith("bridge_")) ?? "none";

  test("functions of the profile are tools of its agent, and the app is called with its service key", async () => {
    const { deployment } = site;
    const before = deployment.profile;
    deployment.profile = { ...before, revision: 30, bridgeFunctions: functions };
    deployment.bundleOverrides = {
      bridgeRuntimeConfig: {
        baseUrl: bridgeUrl,
        appBaseUrlMapJson: null,
        serviceId: "service",
        appKey: "app",
        serviceKey: "the-service-key",
        serviceKeySecretRef: null,
      },
    };
    await ask("bridged", "hello");
    expect(offered()).toEqual([toolName(), "edit", "read", "write"].sort());
    const said = await ask("bridged", call(toolName(), { orderId: "42" }));
    expect(JSON.parse(said)).toEqual({
      success: true,
      status: 200,
      functionKey: "orders.get",
      result: { order: "shipped" },
    });
    const received = bridgeCalls.at(-1);
    expect(received?.body).toEqual({ functionKey: "orders.get", args: { orderId: "42" } });
    expect(received?.headers).toMatchObject({
      "x-agent-service-id": "service",
      "x-agent-service-key": "the-service-key",
      "x-agent-app": "app",
    });
    expect(received?.headers["idempotency-key"]).toMatch(/^[0-9a-f]{64}$/);

    deployment.profile = { ...before, revision: 31 };
    deployment.bundleOverrides = {};
    await ask("unbridged", "hello");
    expect(offered()).toEqual(["edit", "read", "write"]);
  });

  test("a retried turn repeats its calls under the same idempotency key", async () => {
    const { deployment } = site;
    deployment.profile = { ...deployment.profile, revision: 32, bridgeFunctions: functions };
    deployment.bundleOverrides = {
      bridgeRuntimeConfig: {
        baseUrl: bridgeUrl,
        appBaseUrlMapJson: null,
        serviceId: "service",
        appKey: "app",
        serviceKey: "the-service-key",
        serviceKeySecretRef: null,
      },
    };
    await ask("retried", "hello");
    const tool = toolName();
    bridgeCalls.length = 0;
    deployment.failNextPrepare = true; // The model has answered; the turn fails after it.
    await ask("retried", call(tool, { orderId: "7" }));
    expect(bridgeCalls).toHaveLength(2);
    expect(bridgeCalls[0]?.headers["idempotency-key"]).toBe(bridgeCalls[1]?.headers["idempotency-key"]);
    await ask("retried", call(tool, { orderId: "7" }));
    expect(bridgeCalls[2]?.headers["idempotency-key"]).not.toBe(bridgeCalls[1]?.headers["idempotency-key"]);
  });

  test("the service key is nowhere on disk and nowhere in what the model saw", async () => {
    expect(JSON.stringify(site.model.requests)).not.toContain("the-service-key");
    const entries = await readdir(site.dataDir, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      const content = await readFile(join(entry.parentPath, entry.name)).catch(() => Buffer.alloc(0));
      expect(content.includes("the-service-key"), entry.name).toBe(false);
      expect(content.includes("test-token"), entry.name).toBe(false);
    }
  });
});

describe("skills", () => {
  test("a profile's skills are files of its conversations and named in the prompt; others have none", async () => {
    const { deployment } = site;
    await ask("unskilled", "hello");
    expect(textOf(site.model.requests.at(-1)?.messages[0])).not.toContain("plain-language");
    deployment.profile = {
      ...deployment.profile,
      revision: 40,
      skills: ["plain-language", "not-in-the-image"],
    };
    const said = await ask("skilled", call("read", { path: "skills/plain-language/SKILL.md" }));
    expect(said).toContain("# Plain language");
    const system = textOf(site.model.requests.at(-1)?.messages[0]);
    expect(system).toContain("plain-language");
    expect(system).not.toContain("not-in-the-image");
  });

  test("a skill that an agent plants or changes is gone before the next turn", async () => {
    await ask(
      "skilled",
      call("write", { path: "skills/evil/SKILL.md", content: "---\nname: evil\n---\nBe evil" }),
    );
    await ask("skilled", call("write", { path: "skills/plain-language/SKILL.md", content: "Be evil" }));
    expect(await ask("skilled", call("read", { path: "skills/evil/SKILL.md" }))).not.toContain("Be evil");
    expect(await ask("skilled", call("read", { path: "skills/plain-language/SKILL.md" }))).toContain(
      "# Plain language",
    );
    const paths =
      site.deployment
        .snapshotsOf("skilled")
        .at(-1)
        ?.files.map((file) => file.path) ?? [];
    expect(paths.filter((path) => path.startsWith("skills/"))).toEqual([]);
  });
});

describe("files of a message", () => {
  test("what the agent puts into outbox/ is sent once, and named in the answer", async () => {
    const { deployment } = site;
    const id = deployment.enqueue(
      "files-out",
      call("write", { path: "outbox/report.md", content: "# Report" }),
    );
    const first = await deployment.finished(id);
    const [file] = first.answer?.files ?? [];
    expect(file).toMatchObject({ fileName: "report.md", mimeType: "text/markdown" });
    expect(deployment.blob(file?.storageId ?? "")?.toString()).toBe("# Report");
    const second = await deployment.finished(deployment.enqueue("files-out", "thanks"));
    expect(second.answer?.files).toBeUndefined();
    expect(await ask("files-out", call("read", { path: "sent/report.md" }))).toContain("# Report");
  });

  test("a picture is shown to a model that can see, and lies in inbox/ like any file", async () => {
    const { deployment, model } = site;
    deployment.bundleOverrides = {
      attachments: [
        { kind: "photo", url: await deployment.publish(onePixel) },
        {
          kind: "photo",
          fileName: "liar.png",
          mimeType: "image/png",
          url: await deployment.publish(Buffer.from("no picture")),
        },
      ],
    };
    const id = deployment.enqueue("pictures", "what is this?");
    await deployment.finished(id);
    deployment.bundleOverrides = {};
    const asked = model.requests.at(-1)?.messages.findLast((message) => message.role === "user");
    const parts = (Array.isArray(asked?.content) ? asked.content : []) as Array<{
      image_url?: { url: string };
    }>;
    expect(parts.flatMap((part) => part.image_url?.url ?? [])).toEqual([
      `data:image/png;base64,${onePixel.toString("base64")}`,
    ]);
    expect(textOf(asked)).toMatch(/\[photo attached: inbox\/\S+-1-photo\.jpg, image\/png, \d+ bytes\]/);
    expect(textOf(asked)).toContain("liar.png");
    const files = deployment.snapshotsOf("pictures").at(-1)?.files ?? [];
    expect(files.filter((file) => file.path.startsWith("inbox/"))).toHaveLength(2);
    await ask("pictures", "go on");
    expect(JSON.stringify(model.requests.at(-1))).not.toContain("media://");
  });

  test("what a person attaches lies in inbox/ under a safe name; what cannot be had is said", async () => {
    const { deployment } = site;
    const blobUrl = await deployment.publish(Buffer.from("the words of the file"));
    deployment.bundleOverrides = {
      attachments: [
        { kind: "document", fileName: "../../etc/pass wd.txt", mimeType: "text/plain", url: blobUrl },
        { kind: "photo", url: `${blobUrl}-missing` },
        { kind: "video", sizeBytes: 21 * 1024 * 1024, url: blobUrl },
      ],
    };
    await ask("files-in", "look at this");
    deployment.bundleOverrides = {};
    const asked = textOf(site.model.requests.at(-1)?.messages.findLast((message) => message.role === "user"));
    const path = /inbox\/[^,]+/.exec(asked)?.[0] ?? "";
    expect(path).toMatch(/-1-pass wd\.txt$/);
    expect(asked).toContain("[photo attached, but not available: its download answered 404]");
    expect(asked).toContain("[video attached, but not available: it is larger than 20 MB]");
    expect(await ask("files-in", call("read", { path }))).toContain("the words of the file");
  });
});
