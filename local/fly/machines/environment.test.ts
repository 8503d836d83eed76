import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectEventually, type Harness, startHarness } from "../testing/harness.ts";

const CANARY = "canary-of-the-emulators-own-environment";
const PRINTER = {
  layers: [
    {
      "app/main.mjs": `
        import { existsSync, readFileSync, writeFileSync } from "node:fs";
        const { DATA_DIR, HOME, TMPDIR } = process.env;
        const marks = { data: DATA_DIR + "/mark", root: "mark", tmp: TMPDIR + "/mark", home: HOME + "/mark" };
        const kept = Object.keys(marks).filter((name) => existsSync(marks[name]));
        for (const file of Object.values(marks)) writeFileSync(file, "x");
        const file = existsSync("../etc/hello.txt") ? readFileSync("../etc/hello.txt", "utf8") : null;
        console.log("STATE " + JSON.stringify({ env: process.env, cwd: process.cwd(), argv: process.argv.slice(2), kept, file }));
        process.on("SIGTERM", () => process.exit(0));
        setInterval(() => {}, 1000);
      `,
    },
  ],
  entrypoint: ["node", "/app/main.mjs"],
  cmd: ["/app", "/not/in/the/image"],
  env: ["FROM_IMAGE=image", "OVERRIDDEN=image", "PATH=/app:/usr/bin", "FLY_REGION=forged"],
  workingDir: "/app",
};
const machines = "/v1/apps/demo/machines";

let h: Harness;
let image: string;
beforeAll(async () => {
  process.env["EMULATOR_CANARY"] = CANARY;
  h = await startHarness();
  image = await h.appWithImage("demo", PRINTER);
});
afterAll(async () => {
  delete process.env["EMULATOR_CANARY"];
  await h.close();
});

interface State {
  env: Record<string, string>;
  cwd: string;
  argv: string[];
  kept: string[];
  file: string | null;
}

/** What the nth run of the machine's command saw. */
async function seen(id: string, run: number): Promise<State> {
  const lines = async (): Promise<string[]> =>
    (await h.logs("demo", id)).split("\n").filter((line) => line.startsWith("STATE "));
  await expectEventually(async () => (await lines()).length >= run);
  return JSON.parse((await lines())[run - 1]?.slice("STATE ".length) ?? "") as State;
}

async function create(
  config: Record<string, unknown> = {},
  body: Record<string, unknown> = {},
): Promise<string> {
  const restart = { policy: "no" };
  const reply = await h.call("POST", machines, { config: { image, restart, ...config }, ...body });
  expect(reply.status).toBe(200);
  return String(reply.body.id);
}

async function cycle(id: string): Promise<void> {
  await h.call("POST", `${machines}/${id}/stop`, { signal: "SIGTERM" });
  await h.until("demo", id, "stopped");
  await h.call("POST", `${machines}/${id}/start`);
}

describe("a machine's environment", () => {
  test("is the image's, the app's secrets, the config's and Fly's own, and nothing of the emulator's", async () => {
    await h.call("POST", "/v1/apps/demo/secrets", { values: { OVERRIDDEN: "secret", API_KEY: "s3cret" } });
    const id = await create({ env: { OVERRIDDEN: "config", PATH: "/forged" } });
    const { env, cwd, argv } = await seen(id, 1);
    expect(env).toMatchObject({
      FROM_IMAGE: "image",
      OVERRIDDEN: "config",
      API_KEY: "s3cret",
      FLY_APP_NAME: "demo",
      FLY_MACHINE_ID: id,
      FLY_ALLOC_ID: id,
      FLY_REGION: "iad",
      PRIMARY_REGION: "iad",
      LANG: "C.UTF-8",
    });
    expect(env["FLY_IMAGE_REF"]).toMatch(/^registry\.fly\.io\/demo@sha256:[0-9a-f]{64}$/);
    expect(env["FLY_PRIVATE_IP"]).toMatch(/^fdaa:/);
    const folder = `${h.stateDir}/machines/${id}`;
    for (const name of ["DATA_DIR", "HOME", "TMPDIR"]) expect(env[name]?.startsWith(folder)).toBe(true);
    expect(env["PATH"]?.startsWith(`${folder}/root/app:`)).toBe(true);
    expect(cwd).toBe(`${folder}/root/app`);
    expect(argv).toEqual([`${folder}/root/app`, "/not/in/the/image"]);
    expect(JSON.stringify(env)).not.toContain(CANARY);
    const allowed =
      /^(FLY_|DATA_DIR$|HOME$|TMPDIR$|PATH$|LANG$|PRIMARY_REGION$|PWD$|FROM_IMAGE$|OVERRIDDEN$|API_KEY$)/;
    expect(Object.keys(env).filter((name) => !allowed.test(name))).toEqual([]);
    await h.call("DELETE", `${machines}/${id}?force=true`);
    await h.until("demo", id, "destroyed");
    expect(existsSync(`${folder}/root`)).toBe(false);
  });

  test("holds the secrets of the version the machine was made with, until an update", async () => {
    await h.call("POST", "/v1/apps/demo/secrets", { values: { API_KEY: "old" } });
    const id = await create();
    expect((await seen(id, 1)).env["API_KEY"]).toBe("old");
    const { version } = (await h.call("POST", "/v1/apps/demo/secrets", { values: { API_KEY: "new" } })).body;
    await cycle(id);
    expect((await seen(id, 2)).env["API_KEY"]).toBe("old");
    const update = { config: { image, restart: { policy: "no" } }, min_secrets_version: version };
    expect((await h.call("POST", `${machines}/${id}`, update)).status).toBe(200);
    expect((await seen(id, 3)).env["API_KEY"]).toBe("new");
    await h.call("DELETE", `${machines}/${id}?force=true`);
  });

  test("has no secrets with skip_secrets", async () => {
    await h.call("POST", "/v1/apps/demo/secrets", { values: { API_KEY: "hidden" } });
    const id = await create({}, { skip_secrets: true });
    expect((await seen(id, 1)).env["API_KEY"]).toBeUndefined();
    await h.call("DELETE", `${machines}/${id}?force=true`);
  });
});

describe("a machine's disk", () => {
  test("is fresh after a stop, data included", async () => {
    const id = await create();
    expect((await seen(id, 1)).kept).toEqual([]);
    await cycle(id);
    expect((await seen(id, 2)).kept).toEqual([]);
    await h.call("DELETE", `${machines}/${id}?force=true`);
  });

  test("keeps data on a volume mounted at /data, over machines; a mounted volume is taken", async () => {
    const volume = (await h.call("POST", "/v1/apps/demo/volumes", { name: "data" })).body;
    const mounts = [{ volume: volume.id, path: "/data" }];
    const id = await create({ mounts });
    expect((await seen(id, 1)).kept).toEqual([]);
    const second = await h.call("POST", machines, { config: { image, mounts } });
    expect(second.status).toBe(412);
    expect((await h.call("DELETE", `/v1/apps/demo/volumes/${volume.id}`)).status).toBe(412);
    await cycle(id);
    expect((await seen(id, 2)).kept).toEqual(["data"]);
    await h.call("DELETE", `${machines}/${id}?force=true`);
    await h.until("demo", id, "destroyed");
    const heir = await create({ mounts });
    expect((await seen(heir, 1)).kept).toEqual(["data"]);
    await h.call("DELETE", `${machines}/${heir}?force=true`);
  });

  test("holds the config's files, from the config and from a secret", async () => {
    const encoded = Buffer.from("hello").toString("base64");
    const direct = await create({ files: [{ guest_path: "/etc/hello.txt", raw_value: encoded }] });
    expect((await seen(direct, 1)).file).toBe("hello");
    await h.call("POST", "/v1/apps/demo/secrets", {
      values: { HELLO: Buffer.from("secret file").toString("base64") },
    });
    const secret = await create({ files: [{ guest_path: "/etc/hello.txt", secret_name: "HELLO" }] });
    expect((await seen(secret, 1)).file).toBe("secret file");
    for (const id of [direct, secret]) await h.call("DELETE", `${machines}/${id}?force=true`);
  });

  test("more than one volume is refused as Fly refuses it", async () => {
    const mounts = [
      { volume: "vol_a", path: "/a" },
      { volume: "vol_b", path: "/b" },
    ];
    const reply = await h.call("POST", machines, { config: { image, mounts } });
    expect(reply).toMatchObject({ status: 422, body: { error: "only 1 volume supported" } });
  });
});
