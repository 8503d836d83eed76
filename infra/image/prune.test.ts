import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Fly, startFly } from "../../local/fly/server.ts";
import { type PruneJob, pruneImages } from "./pruneImages.ts";
import { digestsOf, digestsToDelete, type StoredTag } from "./prunePolicy.ts";
import { RegistryClient } from "./registry.ts";

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
const digest = (text: string): string => `sha256:${hash(text)}`;
const tagged = (name: string, builtAt: number | null, tag = hash(`tag-${name}`)): StoredTag => ({
  tag,
  digest: digest(name),
  builtAt,
});

describe("which images may go", () => {
  const five = ["a", "b", "c", "d", "e"].map((name, index) => tagged(name, index * 1_000));

  it("is all but the newest, oldest first", () => {
    expect(digestsToDelete(five, new Set(), 3)).toEqual([digest("a"), digest("b")]);
    expect(digestsToDelete(five, new Set(), 5)).toEqual([]);
  });

  it("is never one that is in use, however old", () => {
    expect(digestsToDelete(five, new Set([digest("a")]), 3)).toEqual([digest("b")]);
    expect(digestsToDelete(five, new Set(five.map((tag) => tag.digest)), 0)).toEqual([]);
  });

  it("is never one that somebody tagged, or that does not say when it was built", () => {
    const kept = [tagged("a", 0, "promoted-0123"), tagged("b", null)];
    expect(digestsToDelete([...five, ...kept], new Set(), 3)).toEqual([]);
  });

  it("counts an image once, whatever its tags and platforms", () => {
    const both = [...five, tagged("a", 0, `${hash("tag-a")}-linux-arm64`)];
    expect(digestsToDelete(both, new Set(), 4)).toEqual([digest("a")]);
  });

  it("takes a machine's reference by digest, and by tag for what the tag has", () => {
    const references = [
      `registry.fly.io/af-x@${digest("z")}`,
      `registry.fly.io:443/af-x:${five[1]?.tag}`,
      "registry.fly.io/af-x",
    ];
    expect([...digestsOf(references, five)]).toEqual([digest("z"), digest("b")]);
  });
});

describe("pruning a repository", () => {
  let fly: Fly;
  let folder: string;
  let backend: Server;
  let answers: Record<string, unknown>;
  let lines: string[];
  let count = 0;
  let app: string;
  let registry: RegistryClient;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "infra-prune-"));
    fly = await startFly({ stateDir: folder, rateLimit: false });
    process.env["FLY_API_TOKEN"] = fly.orgToken;
    process.env["CONVEX_SELF_HOSTED_ADMIN_KEY"] = "admin";
    registry = new RegistryClient(fly.registryUrl, fly.orgToken);
    backend = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { path } = JSON.parse(Buffer.concat(chunks).toString()) as { path: string };
        const body = path in answers ? { status: "success", value: answers[path] } : { status: "error" };
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
      });
    });
    await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  });
  afterAll(async () => {
    delete process.env["FLY_API_TOKEN"];
    delete process.env["CONVEX_SELF_HOSTED_ADMIN_KEY"];
    await new Promise((resolve) => backend.close(resolve));
    await fly.close();
    await rm(folder, { recursive: true, force: true });
  });

  const api = (method: string, path: string, body?: object): Promise<Response> =>
    fetch(`${fly.url}${path}`, {
      method,
      headers: { authorization: fly.orgToken, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  /** An image built at `day`; its tag. */
  async function push(day: number): Promise<string> {
    const tag = hash(`${app}-${day}`);
    const config = Buffer.from(
      JSON.stringify({
        created: `2026-01-${String(day).padStart(2, "0")}T00:00:00Z`,
        config: { Entrypoint: ["true"] },
        rootfs: { type: "layers", diff_ids: [] },
      }),
    );
    const configDigest = `sha256:${createHash("sha256").update(config).digest("hex")}`;
    await registry.pushBlob(app, configDigest, config);
    const type = "application/vnd.oci.image.manifest.v1+json";
    const mediaType = "application/vnd.oci.image.config.v1+json";
    const manifest = {
      schemaVersion: 2,
      mediaType: type,
      config: { mediaType, digest: configDigest, size: config.length },
      layers: [],
    };
    await registry.pushManifest(app, tag, type, Buffer.from(JSON.stringify(manifest)));
    return tag;
  }

  const reference = async (tag: string): Promise<string> =>
    `${fly.registryHost}/${app}@${await registry.digestOf(app, tag)}`;

  let tags: string[];
  beforeEach(async () => {
    app = `af-prune-${++count}`;
    lines = [];
    const made = await api("POST", "/v1/apps", { name: app, org_slug: "personal", network: "af-n" });
    if (made.status !== 201) throw new Error(`the app was not made: ${made.status}`);
    tags = [];
    for (const day of [1, 2, 3, 4, 5, 6, 7]) tags.push(await push(day));
    const current = await reference(tags[6] ?? "");
    answers = {
      "factory:rolloutStatus": {
        finished: true,
        image: current,
        stableImage: await reference(tags[1] ?? ""),
      },
      "factory:runtimeConfig": { config: { provider: { image: current } } },
    };
  });

  async function job(): Promise<PruneJob> {
    return {
      registry,
      flyApiUrl: fly.url,
      convex: { mode: "selfHosted", url: `http://127.0.0.1:${(backend.address() as AddressInfo).port}` },
      app,
      image: await reference(tags[6] ?? ""),
      keepRecent: 3,
      progress: (line) => lines.push(line),
    };
  }

  /** Days of the images that are left. */
  async function left(): Promise<number[]> {
    const days: number[] = [];
    for (const [index, tag] of tags.entries()) if (await registry.digestOf(app, tag)) days.push(index + 1);
    return days;
  }

  it("leaves the newest, the rollback's target and what any machine has, stopped ones too", async () => {
    const image = await reference(tags[2] ?? "");
    const made = await api("POST", `/v1/apps/${app}/machines`, { config: { image }, skip_launch: true });
    expect(made.status).toBe(200);
    expect(await pruneImages(await job())).toHaveLength(2);
    expect(await left()).toEqual([2, 3, 5, 6, 7]);
    expect(await pruneImages(await job())).toEqual([]);
  });

  it("deletes nothing while a rollout is under way", async () => {
    answers["factory:rolloutStatus"] = { finished: false, image: "x", stableImage: "y" };
    expect(await pruneImages(await job())).toEqual([]);
    expect(lines).toEqual(["a rollout is under way: no image is deleted"]);
  });

  it("deletes nothing when it cannot read what is in use", async () => {
    answers = { "factory:rolloutStatus": answers["factory:rolloutStatus"] };
    await expect(pruneImages(await job())).rejects.toThrow("factory:runtimeConfig failed");
    expect(await left()).toHaveLength(7);
  });

  it.each([
    ["registry.tags.list", "this registry does not list images: none is deleted"],
    ["registry.manifest.delete", "this registry does not delete images: none is deleted"],
  ])("goes on without harm where %s is not supported", async (operation, line) => {
    await api("POST", "/local/faults", [{ operation, kind: "status", status: 405 }] as never);
    try {
      expect(await pruneImages(await job())).toEqual([]);
      expect(lines).toEqual([line]);
      expect(await left()).toHaveLength(7);
    } finally {
      await api("DELETE", "/local/faults");
    }
  });
});
