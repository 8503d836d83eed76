import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConvexManagementApi, TEAM_TOKEN } from "../testing/convexManagementApi.ts";
import { AgentProfileProvider } from "./agentProfile.ts";
import { BackendSecretProvider } from "./backendSecret.ts";
import { ConvexEnvProvider } from "./convexEnv.ts";
import { RuntimeConfigProvider } from "./runtimeConfig.ts";
import { TelegramWebhookProvider } from "./telegramWebhook.ts";

/** Time passes only by waiting, and waiting takes none. */
let clock = 1_800_000_000_000;
vi.mock("../platform/pause.ts", () => ({
  pause: async (milliseconds: number) => {
    clock += milliseconds;
    vi.setSystemTime(clock);
  },
}));

const configs = new RuntimeConfigProvider();
let server: Server;
let url: string;
/** Answers by function, in turn; the last one stays. A number is an HTTP status without a body of Convex's. */
let script: Record<string, unknown[]>;
let calls: string[];

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: clock });
  process.env["CONVEX_SELF_HOSTED_ADMIN_KEY"] = "admin";
  calls = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { path } = JSON.parse(Buffer.concat(chunks).toString()) as { path: string };
      calls.push(path);
      const answers = script[path] ?? [];
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (typeof answer === "number") {
        response.writeHead(answer).end("bad gateway");
        return;
      }
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ status: "success", value: answer }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  vi.useRealTimers();
  delete process.env["CONVEX_SELF_HOSTED_ADMIN_KEY"];
  delete process.env["CONVEX_TEAM_TOKEN"];
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const inputs = (waitForRollout = true) => ({
  convex: { mode: "selfHosted" as const, url },
  owner: "o",
  config: { a: 1 },
  waitForRollout,
  rolloutTimeoutSeconds: 60,
});
const applied = (rollout: unknown[]): Record<string, unknown[]> => ({
  "factory:runtimeConfig": [{ revision: 6, config: {}, owner: "o" }],
  "factory:applyRuntimeConfig": [{ revision: 7, changed: true }],
  "factory:rolloutStatus": rollout,
});
const phase = (
  name: string,
  finished = false,
  reason: string | null = null,
  [workersNewReady, workersNew, workersOld] = [0, 0, 0],
) => ({ phase: name, finished, reason, workersNewReady, workersNew, workersOld });

describe("an `up` that waits for its rollout", () => {
  it("ends with the rollout", async () => {
    script = applied([phase("canary"), phase("replacing"), phase("done", true)]);
    expect((await configs.create(inputs())).outs).toMatchObject({ revision: 7 });
    expect(calls.filter((path) => path === "factory:rolloutStatus")).toHaveLength(3);
  });

  it("says how far the rollout is whenever that changes", async () => {
    const told = vi.spyOn(console, "info").mockImplementation(() => undefined);
    const canary = phase("canary", false, null, [0, 1, 3]);
    script = applied([canary, canary, phase("replacing", false, null, [1, 2, 2]), phase("done", true)]);
    await configs.create(inputs());
    expect(told.mock.calls).toEqual([
      ["rollout: revision 7 canary, 0 of 1 new workers ready, 3 old"],
      ["rollout: revision 7 replacing, 1 of 2 new workers ready, 2 old"],
    ]);
    told.mockRestore();
  });

  it("ends at once when the revision needs no new machines, or when it is not to wait", async () => {
    script = applied([null]);
    await configs.create(inputs());
    await configs.create(inputs(false));
    expect(calls.filter((path) => path === "factory:rolloutStatus")).toHaveLength(1);
  });

  it("fails with the reason of a rollback", async () => {
    script = applied([phase("canary"), phase("rolled_back", true, "3 of 5 turns failed")]);
    await expect(configs.create(inputs())).rejects.toThrow(
      "The rollout of revision 7 was rolled back: 3 of 5 turns failed. The previous image serves.",
    );
  });

  it("ends after its time with the phase, while the rollout goes on", async () => {
    script = applied([phase("canary")]);
    await expect(configs.create(inputs())).rejects.toThrow(
      "The rollout of revision 7 is still in phase 'canary' after 60 s. It goes on in the backend",
    );
  });

  it("survives looks that get no answer, and gives up with them when its time is over", async () => {
    script = applied([502, 502, phase("done", true)]);
    await configs.create(inputs());
    script = applied([502]);
    await expect(configs.create(inputs())).rejects.toThrow("factory:rolloutStatus failed: 502 bad gateway");
  });
});

describe("the end of a runtime config", () => {
  const state = () => ({ ...inputs(), revision: 7 });

  it("waits until no worker is left", async () => {
    script = { "factory:retireRuntimeConfig": [{}], "factory:workersLeft": [{ live: 2 }, { live: 0 }] };
    await configs.delete("x", state());
    expect(calls).toEqual(["factory:retireRuntimeConfig", "factory:workersLeft", "factory:workersLeft"]);
  });

  it("says how to go on when workers outlast the longest drain", async () => {
    script = { "factory:retireRuntimeConfig": [{}], "factory:workersLeft": [{ live: 1 }] };
    await expect(configs.delete("x", state())).rejects.toThrow(
      "Some workers are still running after the drain. Run `pulumi destroy` again",
    );
    expect(calls.length).toBeLessThan(1_000);
  });
});

describe("resources of a provisioned deployment that somebody deleted", () => {
  it("are missing for refresh and need no deletion", async () => {
    const management = await new ConvexManagementApi().start();
    process.env["CONVEX_TEAM_TOKEN"] = TEAM_TOKEN;
    try {
      const convex = {
        mode: "provisioned" as const,
        url: "https://quick-fox-9.convex.cloud",
        managementUrl: management.url,
        deploymentName: "quick-fox-9",
      };
      const profile = { agentKey: "a", version: "1", soulMd: "s", skills: [], secretsRef: [], enabled: true };
      const webhook = {
        convex,
        siteUrl: "s",
        agentKey: "a",
        secretRef: "r",
        trigger: "t",
        webhookUrl: "w",
        drift: [],
      };
      const cases = [
        [new ConvexEnvProvider(), { convex, owner: "o", variables: { A: "1" } }],
        [new BackendSecretProvider(), { convex, secretRef: "r", value: "v", version: 1 }],
        [new AgentProfileProvider(), { convex, profile, revision: 1 }],
        [new RuntimeConfigProvider(), { ...inputs(), convex, revision: 7 }],
        [new TelegramWebhookProvider(), webhook],
      ] as const;
      for (const [provider, state] of cases) {
        expect((await provider.read("x", state as never)).id, provider.constructor.name).toBe("");
        await provider.delete("x", state as never);
        await expect(provider.read("x"), provider.constructor.name).rejects.toThrow("`pulumi import` cannot");
      }
    } finally {
      await management.stop();
    }
  });
});
