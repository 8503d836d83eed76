import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exitCodes } from "../errors.ts";
import { type FakeDeployment, Refused, startFakeDeployment } from "../testing/fakeDeployment.ts";
import { type FakeIoOptions, NOW, runAgainst } from "../testing/fakeIo.ts";

let deployment: FakeDeployment;
let folder: string;
beforeAll(async () => {
  deployment = await startFakeDeployment();
  folder = mkdtempSync(join(tmpdir(), "agent-factory-push-"));
  writeFileSync(join(folder, "text.md"), "Say good morning.\n");
  const created = { jobId: "j1", nextRunAt: NOW };
  for (const name of ["createPushJobCustom", "createPushJobFromTemplate", "updatePushJob"]) {
    deployment.on(name, () => created);
  }
  deployment.on("createPushTemplate", () => ({ templateId: "t1" }));
  deployment.on("setPushJobEnabled", () => ({ jobId: "j1", nextRunAt: null }));
  for (const name of ["updatePushTemplate", "deletePushTemplate", "deletePushJob"])
    deployment.on(name, () => null);
});
afterAll(async () => {
  await deployment.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  deployment.calls.length = 0;
});

const push = (argv: readonly string[], options?: FakeIoOptions) =>
  runAgainst(deployment, ["push", ...argv], options);
const words = ["--title", "Morning", "--text", "Say good morning."];
const actor = "cli:ada";
const anyKey = expect.stringMatching(/^[0-9a-f-]{36}$/) as string;

describe("push create-template", () => {
  it("sends title, text from a file and times, and says how to go on", async () => {
    const argv = [
      "create-template",
      "acme",
      "morning",
      "--title",
      "Morning",
      "--schedule",
      "weekly monday 09:30",
    ];
    const { code, out } = await push([...argv, "--text-file", join(folder, "text.md"), "--disabled"]);
    expect(code).toBe(exitCodes.ok);
    expect(deployment.calls).toEqual([
      {
        name: "createPushTemplate",
        args: {
          companyId: "acme",
          templateKey: "morning",
          title: "Morning",
          text: "Say good morning.",
          schedule: { kind: "weekly", weekday: 1, time: "09:30" },
          enabled: false,
          idempotencyKey: anyKey,
          actor,
        },
      },
    ]);
    expect(out).toContain("weekly Mon 09:30");
    expect(out).toContain("push create-job acme <userId> --template morning --zone <zone>");
  });

  it("names everything that is missing at once, with its option, and asks the backend nothing", async () => {
    const { code, err } = await push(["create-template", "acme", "morning"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--title <title> is missing.");
    expect(err).toContain("Give the text once: --text <text> or --text-file <file>.");
    expect(err).toContain("--schedule <when> is missing: 'manual', 'daily 09:00', 'weekly Mon 09:00'");
    expect(deployment.calls).toEqual([]);
  });

  it("names everything that is wrong at once", async () => {
    const { code, err } = await push([
      ...["create-template", "acme", "morning", "--title", " ", "--text", "x".repeat(4_097)],
      ...["--schedule", "monthly 32 9:30"],
    ]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--title: title must have 1 to 200 characters");
    expect(err).toContain("--text: text must have 1 to 4096 characters");
    expect(err).toContain("--schedule: Invalid time '9:30', expected HH:mm");
    expect(err).toContain(`--schedule: Invalid dayOfMonth '32', expected 1 to 31 or "last"`);
    expect(deployment.calls).toEqual([]);
  });
});

describe("push create-job", () => {
  it("makes one from a template in the person's zone, with other times when they are given", async () => {
    await push(["create-job", "acme", "ada", "--template", "morning", "--zone", "Europe/Rome"]);
    await push([
      ...["create-job", "acme", "ada", "--template", "morning", "--zone", "Europe/Rome"],
      ...["--schedule", "monthly last 18:00", "--disabled"],
    ]);
    const common = {
      companyId: "acme",
      consumerUserId: "ada",
      templateKey: "morning",
      idempotencyKey: anyKey,
      actor,
    };
    expect(deployment.calls.map(({ args }) => args)).toEqual([
      { ...common, timeZone: "Europe/Rome", enabled: true },
      {
        ...common,
        timeZone: "Europe/Rome",
        enabled: false,
        schedule: { kind: "monthly", dayOfMonth: "last", time: "18:00" },
      },
    ]);
  });

  it("makes one with its own words, and says when it is due", async () => {
    const argv = [
      "create-job",
      "acme",
      "ada",
      ...words,
      "--schedule",
      "daily 09:30",
      "--zone",
      "Europe/Rome",
    ];
    const { out } = await push(argv);
    expect(deployment.calls[0]).toMatchObject({
      name: "createPushJobCustom",
      args: { title: "Morning", schedule: { kind: "daily", time: "09:30" }, timeZone: "Europe/Rome" },
    });
    expect(out).toContain("Push job j1 of ada: next 2026-11-22T12:00:00Z.");
  });

  it("refuses words of its own beside a template's, a zone that is none and times of no form, at once", async () => {
    const { code, err } = await push([
      ...["create-job", "acme", "ada", "--template", "morning", "--title", "Other"],
      ...["--zone", "Rome", "--schedule", "hourly"],
    ]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--template brings title and text: leave out --title, --text and --text-file.");
    expect(err).toContain("--zone: Invalid timezone 'Rome'");
    expect(err).toContain("--schedule must be 'manual', 'daily 09:00'");
    expect(err).toContain("got 'hourly'.");
    expect(deployment.calls).toEqual([]);
  });

  it.each([
    ["weekly someday 09:30"],
    ["weekly 09:30"],
    ["daily"],
    ["daily 09:30 10:30"],
    ["monthly first 09:30"],
    ["manual 09:30"],
    [""],
  ])("refuses the schedule '%s' and shows the forms", async (schedule) => {
    const argv = ["create-job", "acme", "ada", ...words, "--zone", "UTC", "--schedule", schedule];
    const { code, err } = await push(argv);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("'monthly 15 09:00' or 'monthly last 09:00'");
    expect(deployment.calls).toEqual([]);
  });

  it("refuses two texts and a file that is not there", async () => {
    const both = await push(["update-job", "acme", "j1", ...words, "--text-file", join(folder, "text.md")]);
    expect(both.err).toContain("Give the text once: --text <text> or --text-file <file>.");
    const none = await push([
      "update-job",
      "acme",
      "j1",
      "--text-file",
      join(folder, "none.md"),
      "--title",
      " ",
    ]);
    expect(none.err).toMatch(/--text-file: .*none\.md cannot be read \(ENOENT\)/);
    expect(none.err).toContain("--title: title must have");
    expect(deployment.calls).toEqual([]);
  });
});

describe("changes", () => {
  it("send what was given and nothing else", async () => {
    await push(["update-job", "acme", "j1", "--zone", "Asia/Tokyo"]);
    await push(["update-template", "acme", "morning", "--title", "Evening"]);
    expect(deployment.calls).toEqual([
      { name: "updatePushJob", args: { companyId: "acme", jobId: "j1", timeZone: "Asia/Tokyo", actor } },
      {
        name: "updatePushTemplate",
        args: { companyId: "acme", templateKey: "morning", title: "Evening", actor },
      },
    ]);
  });

  it.each([["update-job"], ["update-template"]])("%s without a change is refused", async (command) => {
    const { code, err } = await push([command, "acme", "x"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("Nothing to change: give --title");
    expect(deployment.calls).toEqual([]);
  });

  it("switch jobs and templates on and off", async () => {
    for (const [command, enabled] of [
      ["enable", true],
      ["disable", false],
    ] as const) {
      await push([`${command}-job`, "acme", "j1"]);
      await push([`${command}-template`, "acme", "morning"]);
      expect(deployment.calls.splice(0)).toEqual([
        { name: "setPushJobEnabled", args: { companyId: "acme", jobId: "j1", enabled, actor } },
        { name: "updatePushTemplate", args: { companyId: "acme", templateKey: "morning", enabled, actor } },
      ]);
    }
  });

  it.each([
    ["delete-job", "deletePushJob"],
    ["delete-template", "deletePushTemplate"],
  ])("%s asks first", async (command, name) => {
    const no = await push([command, "acme", "x"], { confirmed: false });
    expect(no.code).toBe(exitCodes.usage);
    expect(deployment.calls).toEqual([]);
    expect((await push([command, "acme", "x"], { confirmed: true })).code).toBe(exitCodes.ok);
    expect(deployment.calls.map((call) => call.name)).toEqual([name]);
  });

  it("say in the backend's words what does not exist", async () => {
    deployment.on("deletePushTemplate", () => {
      throw new Refused("not_found", "Template 'x' not found for company");
    });
    const { code, err } = await push(["delete-template", "acme", "x", "--yes"]);
    expect(code).toBe(exitCodes.notFound);
    expect(err).toContain("Template 'x' not found for company");
  });
});

describe("a request without an answer", () => {
  const commands: Array<[name: string, argv: string[]]> = [
    ["triggerPushJobNow", ["push", "trigger", "acme", "j1"]],
    ["sendBroadcastToAllActiveAgents", ["broadcast", "send", "acme", ...words]],
    ["createPushTemplate", ["push", "create-template", "acme", "k", ...words, "--schedule", "manual"]],
    ["createPushJobFromTemplate", ["push", "create-job", "acme", "u", "--template", "k", "--zone", "UTC"]],
  ];

  it.each(commands)("of %s says with which key to repeat it, and that acts once", async (name, argv) => {
    const sent = { broadcastId: "b", totalTargets: 1, enqueued: 1, failed: 0 };
    const answers = {
      outcome: "enqueued",
      reason: null,
      messageId: "m",
      templateId: "t",
      jobId: "j",
      nextRunAt: null,
    };
    deployment.on(name, () => ({ ...answers, ...sent }));
    deployment.lose(1);
    const lost = await runAgainst(deployment, [...argv, "--yes"]);
    expect(lost.code).toBe(exitCodes.unknown);
    const [, key = ""] = /Repeat the same command with --idempotency-key (\S+): /.exec(lost.err) ?? [];
    expect(key).toEqual(anyKey);
    const again = await runAgainst(deployment, [...argv, "--yes", "--idempotency-key", key]);
    expect(again.code).toBe(exitCodes.ok);
    expect(deployment.calls.map(({ args }) => args["idempotencyKey"])).toEqual([key, key]);
  });

  it("is repeated under no key that the backend would not take", async () => {
    const { code, err } = await push(["trigger", "acme", "j1", "--yes", "--idempotency-key", "two words"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--idempotency-key must have 1 to 128 printable ASCII characters.");
    expect(deployment.calls).toEqual([]);
  });
});

it("what a table shows as schedule can be given as one", async () => {
  const schedules = [
    { kind: "manual" },
    { kind: "daily", time: "09:00" },
    { kind: "weekly", weekday: 7, time: "23:59" },
    { kind: "monthly", dayOfMonth: 31, time: "00:00" },
    { kind: "monthly", dayOfMonth: "last", time: "18:30" },
  ];
  deployment.on("listPushTemplatesByCompany", () =>
    schedules.map((schedule) => ({ templateKey: "k", title: "T", enabled: true, schedule })),
  );
  const { out } = await push(["templates", "acme"]);
  const shown = out
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(/ {2,}/)[2]);
  expect(shown).toHaveLength(schedules.length);
  for (const text of shown) await push(["update-template", "acme", "k", "--schedule", text as string]);
  expect(deployment.calls.slice(1).map(({ args }) => args["schedule"])).toEqual(schedules);
});
