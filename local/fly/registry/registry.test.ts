import { createHash, randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectEventually, type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";
import { pushBlob, pushTars, registryAuth, tarOf } from "../testing/image.ts";

let h: Harness;
let auth: Record<string, string>;
beforeAll(async () => {
  h = await startHarness();
  auth = { authorization: registryAuth(h.fly.orgToken) };
  await h.call("POST", "/v1/apps", { name: "images", org_slug: "personal" });
});
afterAll(() => h.close());

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const v2 = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${h.fly.registryUrl}/v2/${path}`, { ...init, headers: { ...auth, ...(init.headers as object) } });

describe("access", () => {
  test("Basic with any token; 401 with a challenge otherwise; Bearer is not taken", async () => {
    expect((await v2("")).status).toBe(200);
    const none = await fetch(`${h.fly.registryUrl}/v2/`);
    expect(none.status).toBe(401);
    expect(none.headers.get("www-authenticate")).toMatch(/^Basic realm=/);
    expect((await v2("", { headers: { authorization: `Bearer ${h.fly.orgToken}` } })).status).toBe(401);
    expect((await v2("", { headers: { authorization: registryAuth("fm2_wrong") } })).status).toBe(401);
  });

  test("a push to an app that does not exist is 404; a deploy token pushes to its own app only", async () => {
    const missing = await v2("nothere/blobs/uploads/", { method: "POST" });
    expect(missing.status).toBe(404);
    expect(await missing.json()).toMatchObject({ errors: [{ code: "NAME_UNKNOWN" }] });
    await h.call("POST", "/v1/apps", { name: "foreign", org_slug: "personal" });
    const { token } = (await h.call("POST", "/v1/apps/images/deploy_token", {})).body;
    const headers = { authorization: registryAuth(token) };
    expect((await v2("images/blobs/uploads/", { method: "POST", headers })).status).toBe(202);
    expect((await v2("foreign/blobs/uploads/", { method: "POST", headers })).status).toBe(403);
  });
});

describe("blobs", () => {
  test("upload in chunks, with a resumable offset; HEAD and GET; delete", async () => {
    const bytes = randomBytes(100_000);
    const begun = await v2("images/blobs/uploads/", { method: "POST" });
    const at = begun.headers.get("location")?.replace("/v2/", "") ?? "";
    const first = await v2(at, {
      method: "PATCH",
      body: bytes.subarray(0, 60_000),
      headers: { "content-range": "0-59999" },
    });
    expect(first).toMatchObject({ status: 202 });
    expect(first.headers.get("range")).toBe("0-59999");
    const gap = await v2(at, {
      method: "PATCH",
      body: bytes.subarray(70_000),
      headers: { "content-range": "70000-99999" },
    });
    expect(gap.status).toBe(416);
    expect((await v2(at)).headers.get("range")).toBe("0-59999");
    await v2(at, { method: "PATCH", body: bytes.subarray(60_000) });
    const done = await v2(`${at}?digest=${digestOf(bytes)}`, { method: "PUT" });
    expect(done.status).toBe(201);
    const head = await v2(`images/blobs/${digestOf(bytes)}`, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe("100000");
    expect(head.headers.get("docker-content-digest")).toBe(digestOf(bytes));
    const got = Buffer.from(await (await v2(`images/blobs/${digestOf(bytes)}`)).arrayBuffer());
    expect(got.equals(bytes)).toBe(true);
    expect((await v2(`images/blobs/${digestOf(bytes)}`, { method: "DELETE" })).status).toBe(202);
    expect((await v2(`images/blobs/${digestOf(bytes)}`, { method: "HEAD" })).status).toBe(404);
  });

  test("content that is not what its digest says is refused and not kept", async () => {
    const claimed = digestOf(Buffer.from("other"));
    const reply = await v2(`images/blobs/uploads/?digest=${claimed}`, { method: "POST", body: "content" });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({ errors: [{ code: "DIGEST_INVALID" }] });
    expect((await v2(`images/blobs/${claimed}`)).status).toBe(404);
  });

  test("a blob is visible only in the repository it was pushed to, until it is mounted elsewhere", async () => {
    await h.call("POST", "/v1/apps", { name: "second", org_slug: "personal" });
    const digest = await pushBlob(h.fly.registryUrl, "images", h.fly.orgToken, Buffer.from("shared"));
    expect((await v2(`second/blobs/${digest}`, { method: "HEAD" })).status).toBe(404);
    const mounted = await v2(`second/blobs/uploads/?mount=${digest}&from=images`, { method: "POST" });
    expect(mounted.status).toBe(201);
    expect((await v2(`second/blobs/${digest}`, { method: "HEAD" })).status).toBe(200);
  });

  test("a cancelled upload is gone", async () => {
    const begun = await v2("images/blobs/uploads/", { method: "POST" });
    const at = begun.headers.get("location")?.replace("/v2/", "") ?? "";
    expect((await v2(at, { method: "DELETE" })).status).toBe(204);
    expect((await v2(at, { method: "PATCH", body: "x" })).status).toBe(404);
  });
});

describe("manifests", () => {
  test("by tag and digest, with the digest in the header; tags are listed in pages; deletion", async () => {
    const digest = await h.push("images", "v1", LONG_RUNNER);
    await h.push("images", "v2", LONG_RUNNER);
    const head = await v2("images/manifests/v1", { method: "HEAD" });
    expect(head).toMatchObject({ status: 200 });
    expect(head.headers.get("docker-content-digest")).toBe(digest);
    const body = Buffer.from(await (await v2(`images/manifests/${digest}`)).arrayBuffer());
    expect(digestOf(body)).toBe(digest);
    const page = await v2("images/tags/list?n=1");
    expect(await page.json()).toEqual({ name: "images", tags: ["v1"] });
    expect(page.headers.get("link")).toContain("last=v1");
    expect((await v2("images/manifests/v2", { method: "DELETE" })).status).toBe(202);
    expect((await v2("images/manifests/v2", { method: "HEAD" })).status).toBe(404);
    expect((await v2(`images/manifests/${digest}`, { method: "DELETE" })).status).toBe(202);
    expect((await v2("images/manifests/v1", { method: "HEAD" })).status).toBe(404);
  });

  test("one that points at a blob the repository lacks, or has another digest, is refused", async () => {
    const manifest = JSON.stringify({ config: { digest: digestOf(Buffer.from("none")) }, layers: [] });
    const dangling = await v2("images/manifests/x", { method: "PUT", body: manifest });
    expect(await dangling.json()).toMatchObject({ errors: [{ code: "MANIFEST_BLOB_UNKNOWN" }] });
    const wrong = await v2(`images/manifests/${digestOf(Buffer.from("x"))}`, {
      method: "PUT",
      body: '{"layers":[]}',
    });
    expect(await wrong.json()).toMatchObject({ errors: [{ code: "DIGEST_INVALID" }] });
  });
});

describe("images in machines", () => {
  const machines = "/v1/apps/images/machines";
  const run = { entrypoint: ["node", "/main.mjs"] };

  /** Runs an image to its end and returns what it printed. */
  async function output(image: string): Promise<string> {
    const created = await h.call("POST", machines, { config: { image, restart: { policy: "no" } } });
    expect(created.status).toBe(200);
    const id = String(created.body.id);
    await expectEventually(async () =>
      /^(?:stopped|failed)$/.test((await h.call("GET", `${machines}/${id}`)).body.state),
    );
    return await h.logs("images", id);
  }

  test.each(["none", "gzip", "zstd"] as const)(
    "layers with compression %s run, by tag and by digest",
    async (compression) => {
      const layers = [{ "main.mjs": `console.log("hello from ${compression}")` }];
      const digest = await h.push("images", compression, { layers, compression, ...run });
      for (const image of [
        `registry.fly.io/images@${digest}`,
        `${h.fly.registryHost}/images:${compression}`,
        `localhost:${h.fly.registryHost.split(":")[1]}/images@${digest}`,
      ]) {
        expect(await output(image)).toBe(`hello from ${compression}\n`);
      }
    },
  );

  test("a layer with padding behind the end mark of its tar runs", async () => {
    const tar = Buffer.concat([
      tarOf({ "main.mjs": "console.log('padded')" }),
      Buffer.alloc(4 * 1024 * 1024),
    ]);
    await pushTars(h.fly.registryUrl, "images", h.fly.orgToken, "padded", [tar], run);
    expect(await output("registry.fly.io/images:padded")).toBe("padded\n");
  });

  test("higher layers replace, remove and add; also inside node_modules, which is linked, not copied", async () => {
    const script = `
      import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
      const dir = process.env.HOME + "/..";
      console.log(JSON.stringify({
        replaced: readFileSync(dir + "/replaced.txt", "utf8"),
        removed: existsSync(dir + "/removed.txt"),
        opaque: readdirSync(dir + "/opaque"),
        left: (await import("left")).default,
        right: (await import("right")).default,
        linked: lstatSync(dir + "/node_modules/left").isSymbolicLink(),
      }));`;
    await h.push("images", "layered", {
      layers: [
        {
          "main.mjs": script,
          "replaced.txt": "old",
          "removed.txt": "x",
          "opaque/old.txt": "x",
          "node_modules/left/index.js": "module.exports = 'left'",
        },
        {
          "replaced.txt": "new",
          ".wh.removed.txt": "",
          "opaque/.wh..wh..opq": "",
          "opaque/new.txt": "x",
          "node_modules/right/index.js": "module.exports = 'right'",
        },
      ],
      ...run,
    });
    expect(JSON.parse(await output("registry.fly.io/images:layered"))).toEqual({
      replaced: "new",
      removed: false,
      opaque: ["new.txt"],
      left: "left",
      right: "right",
      linked: true,
    });
  });

  test("what a machine writes into its root reaches neither the image nor another machine", async () => {
    const script = `
      import { readFileSync, writeFileSync } from "node:fs";
      const file = process.env.HOME + "/../state.txt";
      console.log(readFileSync(file, "utf8")); writeFileSync(file, "changed");`;
    await h.push("images", "writer", { layers: [{ "main.mjs": script, "state.txt": "pristine" }], ...run });
    expect(await output("registry.fly.io/images:writer")).toBe("pristine\n");
    expect(await output("registry.fly.io/images:writer")).toBe("pristine\n");
  });

  describe("hostile layers", () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "fly-hostile-"));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    async function failsToBoot(
      tag: string,
      tars: Buffer[],
      config: Record<string, unknown> = {},
    ): Promise<void> {
      await pushTars(h.fly.registryUrl, "images", h.fly.orgToken, tag, tars, run);
      const image = `registry.fly.io/images:${tag}`;
      const { id } = (
        await h.call("POST", machines, { config: { image, restart: { policy: "no" }, ...config } })
      ).body;
      await h.until("images", id, "failed");
    }

    test("a member that climbs out with .. is refused, and nothing is written there", async () => {
      mkdirSync(join(folder, "deep/er"), { recursive: true });
      writeFileSync(join(folder, "escaped.txt"), "x");
      const tar = execFileSync("tar", [
        "-c",
        "-P",
        "-f",
        "-",
        "-C",
        join(folder, "deep/er"),
        "../../escaped.txt",
      ]);
      await failsToBoot("climber", [tar]);
      expect(existsSync(`${h.stateDir}/images/escaped.txt`)).toBe(false);
      expect(existsSync(`${h.stateDir}/escaped.txt`)).toBe(false);
    });

    test("a file of a higher layer or of the config is not written through a link of a lower one", async () => {
      const target = join(folder, "outside");
      mkdirSync(target);
      mkdirSync(join(folder, "link-layer"));
      symlinkSync(target, join(folder, "link-layer/etc"));
      const link = execFileSync("tar", ["-c", "-f", "-", "-C", join(folder, "link-layer"), "."]);
      const files = tarOf({ "etc/planted.txt": "x", "main.mjs": "console.log('ran')" });
      await pushTars(h.fly.registryUrl, "images", h.fly.orgToken, "through", [link, files], run);
      expect(await output("registry.fly.io/images:through")).toBe("ran\n");
      const guestFile = { guest_path: "/etc/planted.txt", raw_value: "eA==" };
      await failsToBoot("through-files", [link, tarOf({ "main.mjs": "" })], { files: [guestFile] });
      expect(existsSync(join(target, "planted.txt"))).toBe(false);
    });
  });
});
