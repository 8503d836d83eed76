import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startConvex, type RunningConvex } from "./server.ts";
import {
  adminKeyOf,
  deploy,
  runCli,
  temporaryState,
  type CliResult,
  type Target,
} from "./testing/fixture.ts";

let convex: RunningConvex;
let target: Target;
let remove: () => void;
let deployed: CliResult;

beforeAll(async () => {
  const folder = temporaryState();
  remove = folder.remove;
  convex = await startConvex({ state: folder.state });
  target = { url: convex.url, adminKey: adminKeyOf(convex) };
  deployed = await runCli(target, ["deploy"]);
});

afterAll(async () => {
  await convex.close();
  remove();
});

describe("the unmodified Convex CLI", () => {
  it("deploys with code generation and type check, and says which indexes it added", () => {
    expect(deployed.code).toBe(0);
    expect(deployed.stderr).toContain("Deployed Convex functions");
    expect(deployed.stderr).toContain("messages.by_channel");
  });

  it("runs functions, internal ones too, and prints results and failures", async () => {
    const id = await runCli(target, ["run", "messages:send", '{"channel":"cli","body":"hello"}']);
    expect(id.code).toBe(0);
    expect(id.stderr).toContain("sending to");
    const listed = await runCli(target, ["run", "messages:list", '{"channel":"cli"}']);
    expect(JSON.parse(listed.stdout)).toMatchObject([{ _id: JSON.parse(id.stdout), body: "hello" }]);
    expect((await runCli(target, ["run", "messages:secret"])).stdout).toContain("internal");
    const failed = await runCli(target, ["run", "messages:fail", '{"channel":"cli"}']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("Uncaught Error: boom");
    expect(failed.stderr).toContain("convex/messages.ts");
  });

  it("lists what exists when a function does not", async () => {
    const missing = await runCli(target, ["run", "messages:nope"]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("Could not find function for 'messages:nope'");
    expect(missing.stderr).toContain("send");
  });

  it("acts as a user", async () => {
    const who = await runCli(target, [
      "run",
      "runtimes:whoAmI",
      "--identity",
      '{"name":"Ada","subject":"u1"}',
    ]);
    expect(JSON.parse(who.stdout)).toMatchObject({ name: "Ada", subject: "u1" });
  });

  it("sets, reads, lists and removes environment variables, which functions then see", async () => {
    expect((await runCli(target, ["env", "set", "GREETING", "good day"])).code).toBe(0);
    expect((await runCli(target, ["env", "get", "GREETING"])).stdout.trim()).toBe("good day");
    expect((await runCli(target, ["env", "list", "--include-values"])).stdout).toContain("GREETING");
    expect((await runCli(target, ["run", "runtimes:readEnv", '{"name":"GREETING"}'])).stdout).toContain(
      "good day",
    );
    expect((await runCli(target, ["env", "remove", "GREETING"])).code).toBe(0);
    expect((await runCli(target, ["run", "runtimes:readEnv", '{"name":"GREETING"}'])).stdout.trim()).toBe("");
    const reserved = await runCli(target, ["env", "set", "CONVEX_SITE_URL", "x"]);
    expect(reserved.code).toBe(1);
    expect(reserved.stderr).toContain("built in");
  });

  it("lists tables and rows", async () => {
    expect((await runCli(target, ["data"])).stdout.trim().split("\n")).toContain("messages");
    await runCli(target, ["run", "messages:send", '{"channel":"rows","body":"a row"}']);
    expect((await runCli(target, ["data", "messages"])).stdout).toContain("a row");
  });

  it("describes the functions", async () => {
    const spec = JSON.parse((await runCli(target, ["function-spec"])).stdout) as {
      url: string;
      functions: unknown[];
    };
    expect(spec.url).toBe(convex.url);
    expect(spec.functions).toContainEqual(
      expect.objectContaining({ identifier: "messages.js:secret", visibility: { kind: "internal" } }),
    );
  });

  it("deploys again without changes, sending only hashes", async () => {
    const again = await deploy(target);
    expect(again.code).toBe(0);
    expect(again.stderr).not.toContain("Added table indexes");
  });
});

describe("refusals", () => {
  it("turn away a wrong admin key everywhere, without saying the right one", async () => {
    const stranger = { ...target, adminKey: "local|0000" };
    const commands = [["deploy"], ["run", "messages:secret"], ["env", "set", "A", "b"], ["data"]];
    for (const refused of await Promise.all(commands.map((args) => runCli(stranger, args)))) {
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toContain("deploy key was invalid");
      expect(refused.stderr + refused.stdout).not.toContain(target.adminKey);
    }
  });

  it.each([
    [
      "strict" as const,
      'in table "messages" does not match the schema',
      "missing the required field `author`",
    ],
    ["throwing" as const, "messages.js", "thrown at import"],
    ["badcron" as const, 'cron "wrong arguments" for messages:tick', "Path: .name"],
  ])("of the %s push name the fault, and the old code keeps serving", async (fixture, where, what) => {
    await runCli(target, ["run", "messages:send", '{"channel":"kept","body":"kept"}']);
    const refused = await deploy(target, fixture);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(where);
    expect(refused.stderr).toContain(what);
    const kept = await runCli(target, ["run", "messages:list", '{"channel":"kept"}']);
    expect(JSON.parse(kept.stdout)).not.toHaveLength(0);
  });
});

describe("the admin key", () => {
  it("is kept in a file that only its owner can read", () => {
    expect(statSync(convex.adminKeyFile).mode & 0o077).toBe(0);
    expect(readFileSync(convex.adminKeyFile, "utf8").trim().length).toBeGreaterThan(32);
  });
});
