import { describe, expect, it } from "vitest";
import { outputOf } from "../testing/engine.ts";
import { compose, DIGEST, stackConfig } from "../testing/stack.ts";

describe("ConvexBackend", () => {
  it("reaches an existing deployment by its URL and makes none", async () => {
    const { environment, registered } = await compose(stackConfig());
    expect(registered.get("convex-deployment")).toBeUndefined();
    expect(registered.get("convex-env")?.inputs["convex"]).toEqual({
      mode: "existing",
      url: "https://happy-otter-123.convex.cloud",
    });
    expect((await outputOf(environment.convexSiteUrl)).value).toBe("https://happy-otter-123.convex.site");
  });

  it("makes a provisioned deployment under its reference and uses what came of it", async () => {
    const { registered } = await compose(
      stackConfig({ convex: { mode: "provisioned", projectName: "agents", region: "aws-eu-west-1" } }),
    );
    expect(registered.get("convex-deployment")?.inputs).toEqual({
      managementUrl: "https://api.convex.dev/v1",
      projectName: "agents",
      reference: "staging",
      type: "prod",
      region: "aws-eu-west-1",
      owner: "agent-factory/staging/0123456789abcdef",
    });
    const access = {
      mode: "provisioned",
      url: "https://quick-fox-1.convex.cloud",
      managementUrl: "https://api.convex.dev/v1",
      deploymentName: "quick-fox-1",
    };
    for (const name of ["convex-env", "convex-agent-default", "fly-token", "runtime-config"]) {
      expect(registered.get(name)?.inputs["convex"], name).toEqual(access);
    }
    expect(registered.get("convex-secret-convex-url")?.inputs["value"]).toBe(
      "https://quick-fox-1.convex.site",
    );
  });

  it("takes both URLs of a self-hosted backend as they are", async () => {
    const { environment, registered } = await compose(
      stackConfig({
        convex: { mode: "selfHosted", url: "https://convex.acme.dev", siteUrl: "https://site.acme.dev" },
      }),
    );
    expect(registered.get("convex-env")?.inputs["convex"]).toEqual({
      mode: "selfHosted",
      url: "https://convex.acme.dev",
    });
    expect((await outputOf(environment.convexSiteUrl)).value).toBe("https://site.acme.dev");
  });

  it("deploys its functions again when their content or the deployment changes, and for nothing else", async () => {
    const { registered } = await compose(stackConfig());
    const { inputs } = registered.get("convex-functions") ?? {};
    expect(inputs?.["triggers"]).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}$/),
      "https://happy-otter-123.convex.cloud",
    ]);
    // Where, never with which key: that comes from the environment of whoever runs `up`.
    expect(inputs?.["environment"]).toEqual({
      CONVEX_ACCESS: JSON.stringify({ mode: "existing", url: "https://happy-otter-123.convex.cloud" }),
    });
  });

  it("encrypts with the last key, and accepts the webhook secret before the last one", async () => {
    const { registered } = await compose(
      stackConfig({ keys: { secretKeyIds: ["k1", "k2"], webhookSecretIds: ["w1", "w2"] } }),
    );
    const variables = registered.get("convex-env")?.inputs["variables"] as Record<string, string>;
    expect(JSON.parse(variables["SECRETS_KEY_RING"] ?? "")).toEqual({
      active: "k2",
      keys: {
        k1: Buffer.from("bytes-of-convex-key-k1").toString("base64"),
        k2: Buffer.from("bytes-of-convex-key-k2").toString("base64"),
      },
    });
    expect(JSON.parse(variables["TELEGRAM_WEBHOOK_SECRETS"] ?? "")).toEqual({
      current: "password-of-convex-webhook-w2",
      previous: "password-of-convex-webhook-w1",
    });
    // The webhook is set again, since its secret is another one.
    expect(registered.get("telegram-webhook-default")?.inputs["trigger"]).toBe("w1,w2/2");
  });
});

describe("the site of a deployment on Convex Cloud", () => {
  it.each([
    ["existing", { mode: "existing", url: "https://happy-otter-123.convex.cloud" }],
    ["provisioned", { mode: "provisioned", projectName: "agents" }],
  ])("is the custom domain that the config names in mode %s", async (_mode, convex) => {
    const siteUrl = "https://agents.example.com";
    const { environment } = await compose(stackConfig({ convex: { ...convex, siteUrl } }));
    expect((await outputOf(environment.convexSiteUrl)).value).toBe(siteUrl);
  });
});

describe("WorkerImage", () => {
  it("takes a prebuilt digest as it is and builds nothing", async () => {
    const { environment, registered } = await compose(stackConfig());
    expect(registered.get("image-build")).toBeUndefined();
    expect((await outputOf(environment.workerImage)).value).toBe(DIGEST);
  });

  it.each([
    ["flyRemote", { builder: "flyRemote" }, ""],
    ["docker", { builder: "docker", platform: "linux/arm64" }, "linux/arm64"],
    ["local", { builder: "local" }, ""],
  ])(
    "builds with %s when context, app, registry, builder or platform change, or the app is made anew",
    async (builder, image, platform) => {
      const { registered } = await compose(stackConfig({ image }));
      const { inputs, dependsOn } = registered.get("image-build") ?? {};
      const hash = expect.stringMatching(/^[0-9a-f]{64}$/) as unknown;
      expect(inputs?.["environment"]).toEqual({
        IMAGE_BUILDER: builder,
        IMAGE_APP: "af-staging-01234567",
        IMAGE_TAG: hash,
        IMAGE_REGISTRY_URL: "https://registry.fly.io",
        IMAGE_PLATFORM: platform,
        IMAGE_CACHE: "",
      });
      expect(inputs?.["triggers"]).toEqual([
        hash,
        "af-staging-01234567",
        "id-of-fly-app",
        "https://registry.fly.io",
        builder,
        platform,
      ]);
      // The registry knows a repository only once its app exists.
      expect(dependsOn).toContain("fly-app");
    },
  );

  it("deletes old images only after the rollout, and none of what was built elsewhere", async () => {
    const { registered } = await compose(stackConfig({ image: { builder: "flyRemote", keepRecent: 5 } }));
    const pruning = registered.get("image-pruning");
    expect(pruning?.dependsOn).toContain("runtime-config");
    expect(pruning?.inputs["environment"]).toMatchObject({
      IMAGE: `registry.fly.io/af-x@sha256:${"b".repeat(64)}`,
      IMAGE_APP: "af-staging-01234567",
      IMAGE_KEEP_RECENT: "5",
    });
    expect((await compose(stackConfig())).registered.get("image-pruning")).toBeUndefined();
  });

  it("takes the last line of the build as the image", async () => {
    const { environment } = await compose(stackConfig({ image: { builder: "local" } }));
    expect((await outputOf(environment.workerImage)).value).toBe(
      `registry.fly.io/af-x@sha256:${"b".repeat(64)}`,
    );
  });
});

describe("FlyPlane", () => {
  it("gives the app the name that the config sets, and takes over only when told to", async () => {
    const fly = { organization: "acme", regions: ["fra"], appName: "agents-by-hand", adoptUnowned: true };
    const { registered } = await compose(stackConfig({ fly }));
    expect(registered.get("fly-app")?.inputs).toMatchObject({ name: "agents-by-hand", adoptUnowned: true });
    const { registered: careful } = await compose(stackConfig());
    expect(careful.get("fly-app")?.inputs).toMatchObject({ adoptUnowned: false });
  });

  it("asks for a token of this app that ends", async () => {
    const { registered } = await compose(stackConfig());
    expect(registered.get("fly-token")?.inputs).toMatchObject({
      appName: "af-staging-01234567",
      tokenName: "agent-factory/staging scaler",
      expiryHours: 2_160,
    });
  });
});
