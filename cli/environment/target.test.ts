import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeIo, fakeIo } from "../testing/fakeIo.ts";
import { writeLogin } from "./login.ts";
import { checkDeploymentUrl, findTarget } from "./target.ts";

let io: FakeIo;
beforeEach(() => {
  io = fakeIo({
    stackOutputs: {
      convexUrl: "https://quick-fox-1.convex.cloud",
      convexSiteUrl: "https://quick-fox-1.convex.site",
    },
  });
});
afterEach(() => io.remove());

const LOCAL_URL = "http://127.0.0.1:4001";

function runLocalEnvironment(text?: string): void {
  mkdirSync(join(io.root, ".local"), { recursive: true });
  const convex = { url: LOCAL_URL, siteUrl: "http://127.0.0.1:4002", adminKeyFile: "/keys/admin.key" };
  writeFileSync(join(io.root, ".local", "environment.json"), text ?? JSON.stringify({ convex, pid: 1 }));
}

const logIn = (): void =>
  writeLogin(io.root, { stack: "staging", url: "https://slow-owl-2.convex.cloud", siteUrl: null });

describe("the environment of a command", () => {
  it("is the running local one when nothing is named", async () => {
    runLocalEnvironment();
    await expect(findTarget({}, io)).resolves.toMatchObject({
      name: "local",
      url: LOCAL_URL,
      adminKeyFile: "/keys/admin.key",
    });
  });

  it("is the one of login before the local one", async () => {
    runLocalEnvironment();
    logIn();
    await expect(findTarget({}, io)).resolves.toMatchObject({ name: "staging", adminKeyFile: null });
  });

  it("is the stack's when --stack names one, whatever login says", async () => {
    logIn();
    await expect(findTarget({ stack: "prod" }, io)).resolves.toEqual({
      name: "prod",
      url: "https://quick-fox-1.convex.cloud",
      siteUrl: "https://quick-fox-1.convex.site",
      adminKeyFile: null,
    });
  });

  it("is the local one for --stack local, whatever login says", async () => {
    runLocalEnvironment();
    logIn();
    await expect(findTarget({ stack: "local" }, io)).resolves.toMatchObject({ name: "local" });
  });

  it("keeps the local key when the local URL is given in full", async () => {
    runLocalEnvironment();
    await expect(findTarget({ convexUrl: `${LOCAL_URL}/` }, io)).resolves.toMatchObject({
      adminKeyFile: "/keys/admin.key",
    });
  });

  it("is refused when two are named", async () => {
    await expect(findTarget({ stack: "prod", convexUrl: LOCAL_URL }, io)).rejects.toThrow("give one of them");
  });

  it("is refused with the commands that name one when there is none", async () => {
    await expect(findTarget({}, io)).rejects.toMatchObject({
      next: expect.stringContaining("npm run local"),
    });
  });

  it("is refused for a stack that was never deployed", async () => {
    const empty = fakeIo({ stackOutputs: {} });
    await expect(findTarget({ stack: "new" }, empty)).rejects.toMatchObject({
      next: "pulumi up --stack new",
    });
    empty.remove();
  });

  it("says which field of a damaged environment.json is missing", async () => {
    runLocalEnvironment(JSON.stringify({ convex: { url: LOCAL_URL } }));
    await expect(findTarget({}, io)).rejects.toThrow(/convex\.siteUrl/);
    runLocalEnvironment("{");
    await expect(findTarget({}, io)).rejects.toThrow("is not valid JSON");
  });
});

describe("a deployment's URL", () => {
  it("must not be its site URL, and the right one is shown", () => {
    expect(() => checkDeploymentUrl("--convex-url", "https://quick-fox-1.convex.site")).toThrow(
      expect.objectContaining({ next: "Use https://quick-fox-1.convex.cloud" }),
    );
  });

  it("must not send the key in plain text, except to this machine", () => {
    expect(() => checkDeploymentUrl("--convex-url", "http://example.com")).toThrow(
      "must start with https://",
    );
    expect(checkDeploymentUrl("--convex-url", "http://127.0.0.1:3210/")).toBe("http://127.0.0.1:3210");
  });
});
