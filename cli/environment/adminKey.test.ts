import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeIo, fakeIo } from "../testing/fakeIo.ts";
import { adminKeyOf } from "./adminKey.ts";
import { mintDeployKey } from "./mintedKey.ts";
import type { Target } from "./target.ts";

let io: FakeIo;
beforeEach(() => {
  io = fakeIo();
});
afterEach(() => io.remove());

const cloud: Target = {
  name: "staging",
  url: "https://quick-fox-1.convex.cloud",
  siteUrl: "https://quick-fox-1.convex.site",
  adminKeyFile: null,
};

describe("the admin key", () => {
  it("of the local environment comes from its file, even when the environment holds another", async () => {
    const adminKeyFile = join(io.root, "admin.key");
    writeFileSync(adminKeyFile, "local|1\n");
    const local = { ...cloud, url: "http://127.0.0.1:4001", adminKeyFile };
    const key = await adminKeyOf(local, { CONVEX_DEPLOY_KEY: "prod:quick-fox-1|secret" });
    expect(key.value).toBe("local|1");
  });

  it("of a cloud deployment is its deploy key", async () => {
    const key = await adminKeyOf(cloud, { CONVEX_DEPLOY_KEY: " prod:quick-fox-1|secret\n" });
    expect(key.value).toBe("prod:quick-fox-1|secret");
  });

  it("of another deployment is not sent, and is not shown", async () => {
    const attempt = adminKeyOf(cloud, { CONVEX_DEPLOY_KEY: "prod:other-cat-9|secret" });
    await expect(attempt).rejects.toThrow("'other-cat-9', but the command is for 'quick-fox-1'");
    await expect(attempt).rejects.not.toThrow("secret");
  });

  it("that is missing is asked for by the variable's name", async () => {
    await expect(adminKeyOf(cloud, {})).rejects.toThrow("CONVEX_DEPLOY_KEY");
    const selfHosted = { ...cloud, url: "https://convex.example.com", siteUrl: null };
    await expect(adminKeyOf(selfHosted, { CONVEX_DEPLOY_KEY: "prod:x|y" })).rejects.toThrow(
      "CONVEX_SELF_HOSTED_ADMIN_KEY is not set",
    );
  });
});

describe("a key made from a team token", () => {
  let server: Server;
  let url: string;
  const asked: Array<{ path: string; body: Record<string, unknown>; token: string | undefined }> = [];
  let status = 200;

  beforeEach(async () => {
    asked.length = 0;
    server = createServer((request, response) => {
      let text = "";
      request.on("data", (chunk) => (text += String(chunk)));
      request.on("end", () => {
        asked.push({
          path: request.url ?? "",
          body: JSON.parse(text) as Record<string, unknown>,
          token: request.headers.authorization,
        });
        response.writeHead(status).end(JSON.stringify({ deployKey: "prod:quick-fox-1|made" }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  });
  afterEach(() => {
    status = 200;
    server.close();
  });

  it("ends within the hour and is deleted after the command", async () => {
    const before = Date.now();
    const key = await mintDeployKey("quick-fox-1", "team", url);
    expect(key.value).toBe("prod:quick-fox-1|made");
    expect(asked[0]).toMatchObject({
      path: "/v1/deployments/quick-fox-1/create_deploy_key",
      token: "Bearer team",
    });
    const life = Number(asked[0]?.body["expiresAt"]) - before;
    expect(life).toBeGreaterThan(30 * 60_000);
    expect(life).toBeLessThan(60 * 60_000);
    await key.discard();
    expect(asked[1]).toMatchObject({
      path: "/v1/deployments/quick-fox-1/delete_deploy_key",
      body: { id: "prod:quick-fox-1|made" },
    });
  });

  it("is refused with the variable to check, without the token", async () => {
    status = 403;
    const attempt = mintDeployKey("quick-fox-1", "team-token-value", url);
    await expect(attempt).rejects.toThrow("CONVEX_TEAM_TOKEN (403)");
    await expect(attempt).rejects.not.toThrow("team-token-value");
  });
});
