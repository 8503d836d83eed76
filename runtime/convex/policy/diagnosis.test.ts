import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { diagnose, type DoctorFacts } from "./diagnosis.ts";
import { runtimeConfigSchema } from "./runtimeConfig.ts";

const NOW = Date.UTC(2026, 10, 23, 9);
const MINUTE = 60_000;
const DAY = 86_400_000;
const healthy: DoctorFacts = {
  now: NOW,
  configured: true,
  retired: false,
  environment: { FACTORY_OWNER: true, WORKER_TOKEN_KEY: true },
  secrets: [
    { secretRef: "fly.apiToken", active: true, problem: null, expiresAt: NOW + 300 * DAY },
    { secretRef: "convex.url", active: true, problem: null, expiresAt: null },
  ],
  alerts: [],
  rollout: null,
  loop: { nextTickAt: NOW + 5_000, passSilentMs: null, pending: true },
  oldestDueMs: 1_000,
  deadLetters: 0,
  bootingTooLong: [],
  webhooks: [{ secretRef: "telegram.botToken.default", drift: [], lastErrorMessage: null }],
  fly: {
    error: null,
    refused: false,
    tokenScope: { kind: "app", apps: ["af-test"] },
    clockSkewMs: 900,
    image: "present",
  },
  appName: "af-test",
  image: "registry.fly.io/af-test@sha256:abc",
};
const fly = (change: Partial<NonNullable<DoctorFacts["fly"]>>): Partial<DoctorFacts> => ({
  fly: { ...(healthy.fly as NonNullable<DoctorFacts["fly"]>), ...change },
});
const secret = (change: Partial<DoctorFacts["secrets"][number]>): Partial<DoctorFacts> => ({
  secrets: [{ secretRef: "fly.apiToken", active: true, problem: null, expiresAt: null, ...change }],
});
const rollout = (phase: string, sinceMs: number): Partial<DoctorFacts> => ({
  rollout: {
    phase,
    revision: 7,
    startedAt: NOW - sinceMs,
    phaseAt: NOW - sinceMs,
    gateTimeoutMs: 5 * MINUTE,
  },
});
const alert = (kind: string): Partial<DoctorFacts> => ({
  alerts: [{ kind, message: "what happened", since: NOW - MINUTE }],
});
const problems = (change: Partial<DoctorFacts>) => diagnose({ ...healthy, ...change });

const NEW_TOKEN = `pulumi up --replace "$(pulumi stack --show-urns | grep -o 'urn:.*::fly-token')"`;
const DECISIONS = "npm run factory -- workers decisions --limit 10";

test("an environment in order has no problem", () => {
  expect(problems({})).toEqual([]);
});

type Case = [string, Partial<DoctorFacts>, "error" | "warning", string, RegExp, string];
const cases: Case[] = [
  ["no config", { configured: false }, "error", "not_configured", /not been applied/, "pulumi up"],
  ["a retired stack", { retired: true }, "error", "retired", /destroyed/, "pulumi up"],
  [
    "a variable of the deployment",
    { environment: { FACTORY_OWNER: false } },
    "error",
    "environment",
    /^FACTORY_OWNER is not set/,
    "pulumi up",
  ],
  ["no Fly token", secret({ active: false }), "error", "secret_missing", /'fly.apiToken'/, NEW_TOKEN],
  [
    "no site URL",
    secret({ secretRef: "convex.url", active: false }),
    "error",
    "secret_missing",
    /'convex.url'/,
    "pulumi refresh && pulumi up",
  ],
  [
    "no secret that an agent names",
    secret({ secretRef: "telegram.botToken.sales", active: false }),
    "error",
    "secret_missing",
    /'telegram.botToken.sales'/,
    "npm run factory -- secrets set telegram.botToken.sales",
  ],
  [
    "a secret of the wrong kind",
    secret({ problem: "'fly.apiToken' holds a URL, not a Fly token." }),
    "error",
    "secret_wrong",
    /holds a URL/,
    NEW_TOKEN,
  ],
  [
    "a token that ends soon",
    secret({ expiresAt: NOW + 13 * DAY }),
    "warning",
    "token_expiry",
    /expires at 2026-12-06/,
    "pulumi up",
  ],
  [
    "a token that has ended",
    secret({ expiresAt: NOW }),
    "error",
    "token_expiry",
    /expired at 2026-11-23/,
    "pulumi up",
  ],
  [
    "a token that Fly refuses",
    fly({ error: "Fly API GET /apps/af-test failed: 401", refused: true }),
    "error",
    "fly",
    /401/,
    NEW_TOKEN,
  ],
  [
    "an app that is not ours",
    fly({ error: "Fly app 'af-test' is owned by another deployment" }),
    "error",
    "fly",
    /another deployment/,
    "pulumi up",
  ],
  [
    "a token of another app",
    fly({ tokenScope: { kind: "app", apps: ["af-prod"] } }),
    "error",
    "token_scope",
    /for the app af-prod, not for af-test/,
    NEW_TOKEN,
  ],
  [
    "a token of the whole organization",
    fly({ tokenScope: { kind: "organization", slug: "acme" } }),
    "warning",
    "token_scope",
    /whole organization 'acme'/,
    NEW_TOKEN,
  ],
  [
    "an image that its registry lacks",
    fly({ image: "absent" }),
    "error",
    "image_absent",
    /registry.fly.io\/af-test@sha256:abc is not in its registry/,
    "pulumi up",
  ],
  [
    "a clock that is ahead",
    fly({ clockSkewMs: 31_000 }),
    "warning",
    "clock_skew",
    /by 31 s/,
    "timedatectl status",
  ],
  [
    "a clock that is behind",
    fly({ clockSkewMs: -90_000 }),
    "warning",
    "clock_skew",
    /-90 s/,
    "timedatectl status",
  ],
  [
    "a tick that is late",
    { loop: { nextTickAt: NOW - 5 * MINUTE, passSilentMs: null, pending: true } },
    "error",
    "loop",
    /5 min late/,
    "npm run factory -- workers reconcile",
  ],
  [
    "messages and no tick",
    { loop: { nextTickAt: null, passSilentMs: null, pending: true } },
    "error",
    "loop",
    /no tick/,
    "npm run factory -- workers reconcile",
  ],
  [
    "a gate that does not end",
    rollout("canary", 11 * MINUTE),
    "error",
    "rollout_stuck",
    /revision 7 has been in phase 'canary' since 2026-11-23T08:49/,
    "npm run factory -- workers reconcile",
  ],
  [
    "a replacement that does not end",
    rollout("replacing", 61 * MINUTE),
    "error",
    "rollout_stuck",
    /'replacing'/,
    "npm run factory -- workers reconcile",
  ],
  ["a message that waits long", { oldestDueMs: 11 * MINUTE }, "error", "waiting", /11 min/, DECISIONS],
  [
    "a worker that does not become ready",
    { bootingTooLong: [{ workerId: "w-1", machineId: "148e21" }] },
    "warning",
    "boot",
    /^w-1 /,
    "fly logs --app af-test --machine 148e21 --no-tail",
  ],
  [
    "a worker whose machine was never made",
    { bootingTooLong: [{ workerId: "w-1", machineId: null }] },
    "warning",
    "boot",
    /^w-1 /,
    DECISIONS,
  ],
  [
    "messages given up",
    { deadLetters: 3 },
    "warning",
    "dead_letters",
    /^3 messages/,
    "npm run factory -- dead-letters list",
  ],
  [
    "a webhook that points elsewhere",
    {
      webhooks: [
        { secretRef: "telegram.botToken.a", drift: ["webhook is 'x', wanted 'y'"], lastErrorMessage: "e" },
      ],
    },
    "error",
    "webhook",
    /telegram.botToken.a: webhook is 'x'/,
    "npm run factory -- telegram connect a",
  ],
  [
    "deliveries that fail",
    { webhooks: [{ secretRef: "telegram.botToken.a", drift: [], lastErrorMessage: "502" }] },
    "warning",
    "webhook_delivery",
    /502/,
    "npx convex logs",
  ],
  [
    "alert: no worker comes up",
    alert("boot"),
    "error",
    "boot",
    /what happened/,
    "fly logs --app af-test --no-tail",
  ],
  ["alert: token", alert("auth"), "error", "auth", /since 2026-11-23T08:59/, NEW_TOKEN],
  ["alert: strangers", alert("foreign_machines"), "warning", "foreign_machines", /what/, "fly machines list"],
  ["alert: unknown kind", alert("tomorrow"), "error", "tomorrow", /what/, DECISIONS],
];

test.each(cases)("%s", (_name, change, severity, kind, message, command) => {
  expect(problems(change)).toEqual([{ severity, kind, message: expect.stringMatching(message), command }]);
});

test("what is within its limits is no problem", () => {
  for (const change of [
    secret({ expiresAt: NOW + 14 * DAY + 1 }),
    fly({ tokenScope: { kind: "unknown" }, clockSkewMs: null, image: "unknown" }),
    fly({ clockSkewMs: -30_000 }),
    { fly: null },
    rollout("canary", 10 * MINUTE),
    rollout("replacing", 60 * MINUTE),
    { oldestDueMs: 10 * MINUTE },
    { loop: { nextTickAt: null, passSilentMs: 3_000, pending: true } },
    { loop: { nextTickAt: null, passSilentMs: null, pending: false } },
  ]) {
    expect(problems(change)).toEqual([]);
  }
});

test("errors come first", () => {
  const found = problems({ deadLetters: 1, ...fly({ clockSkewMs: 60_000 }), ...alert("quota") });
  expect(found.map((problem) => problem.severity)).toEqual(["error", "warning", "warning"]);
});

describe("every command can be run", () => {
  const kinds = [
    "auth",
    "not_owned",
    "quota",
    "no_capacity",
    "rejected",
    "rollout",
    "spend",
    "config",
    "boot",
  ];
  const commands = [
    ...cases.map((entry) => entry[5]),
    ...kinds.flatMap((kind) => problems(alert(kind)).map((problem) => problem.command)),
  ];

  test("a command of the operator CLI is one that it has", () => {
    const folder = new URL("../../../cli/commands/", import.meta.url);
    const sources = readdirSync(folder).map((file) => readFileSync(new URL(file, folder), "utf8"));
    const named = commands.flatMap((text) => [...text.matchAll(/npm run factory -- ([a-z-]+) ([a-z-]+)/g)]);
    expect(named.length).toBeGreaterThan(0);
    for (const [, group, command] of named) {
      const source = sources.find((text) => text.includes(`.command("${group}")`));
      expect(source, `${group} ${command}`).toContain(`.command("${command}"`);
    }
  });

  test("a policy that it sets exists", () => {
    const paths = commands.flatMap((command) => /agent-factory:policies\.([\w.]+)/.exec(command)?.[1] ?? []);
    expect(paths.length).toBeGreaterThan(0);
    const config = runtimeConfigSchema.parse({
      provider: {
        appName: "app",
        organizationSlug: "org",
        image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
        regions: ["fra"],
        guest: {},
      },
    }) as Record<string, Record<string, unknown>>;
    for (const path of paths) {
      const [section = "", field = ""] = path.split(".");
      expect(config[section], path).toHaveProperty(field);
    }
  });
});
