/**
 * `npm run demo`: one whole environment on this machine, from `pulumi up` to `pulumi destroy`. Exit code 0 only
 * when every claim it makes was seen to hold.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { request } from "undici";
import * as z from "zod";
import { type Backend, backendAt } from "../environment/backend.ts";
import { type LocalEnvironment, projectRoot, startEnvironment } from "../environment/environment.ts";
import { readFlags } from "../environment/flags.ts";
import { endLeftovers, runningMachines } from "../environment/leftovers.ts";
import { AlreadyRunning, takeEnvironment } from "../environment/oneAtATime.ts";
import { outputLines } from "../environment/outputs.ts";
import { type Person, Phone, type Sent } from "../environment/person.ts";
import { outliveReaders } from "../environment/readers.ts";
import { progressFilter, resourceCounts } from "../environment/pulumiProgress.ts";
import { createReport, type MessageTimes, type Report, type Timeline, timelineLines } from "./report.ts";
import { addDemoSkill, removeDemoSkill } from "./skill.ts";

let interrupted = false;
/** Nothing of what falls apart after an interruption is worth a line. */
const say = (line: string): void => {
  if (!interrupted) process.stdout.write(`${line}\n`);
};
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

const STEPS = 7;
/** A cold start boots OpenClaw's gateway; on two busy cores that takes up to a minute. */
const COLD_ANSWER_MS = 240_000;
const stateDir = join(projectRoot, ".local", "demo");
const INTERRUPTED = 130;

const ada: Person = { id: 5_001, first_name: "Ada" };
const bruno: Person = { id: 5_002, first_name: "Bruno" };

outliveReaders();

async function main(): Promise<number> {
  const flags = readFlags(process.argv.slice(2), "npm run demo", {});
  if ("print" in flags) {
    (flags.exitCode === 0 ? say : complain)(flags.print);
    return flags.exitCode;
  }
  takeEnvironment(
    stateDir,
    "local/demo/main.ts",
    "Wait for its end, or stop it with Ctrl-C in its own terminal.",
  );
  const running: { environment?: LocalEnvironment } = {};
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => void interrupt(signal, running.environment));
  }
  const report = createReport(STEPS, say, Date.now);
  say("Agent Factory demo: a whole environment on this machine, nothing leaves loopback.");
  clearLastRun(report);

  report.step("Embedded cloud: Convex deployment, Fly, Telegram and model, each a process of its own");
  const environment = await startEnvironment({
    stateDir,
    progress: (name, address) => report.line(`${name.padEnd(9)} ${address}`),
  });
  running.environment = environment;
  if (environment.model.real) report.line(`model: ${environment.model.name} of a real provider (your key)`);
  try {
    await runSteps(environment, report);
  } finally {
    removeDemoSkill(projectRoot);
    await environment.cloud.stop();
  }
  const failures = report.failures();
  say("");
  if (failures.length > 0) {
    say(`The demo failed: ${failures.length} claim(s) did not hold. Logs: ${stateDir}/*.log`);
    return 1;
  }
  say("Everything above happened. Next: `npm run local` keeps an environment, `npm run chat` talks to it.");
  return 0;
}

/** Ends what runs, in order when there is something to end in order. */
async function interrupt(signal: NodeJS.Signals, environment: LocalEnvironment | undefined): Promise<void> {
  if (interrupted) return;
  interrupted = true;
  complain("\nInterrupted: stopping …");
  // A terminal's Ctrl-C reaches the engine by itself.
  const engine = environment?.stack.running ?? null;
  if (signal !== "SIGINT" && engine !== null) process.kill(engine, "SIGINT");
  await environment?.cloud.stop();
  endLeftovers(stateDir);
  complain("Nothing is left running; `npm run demo` starts clean.");
  process.exit(INTERRUPTED);
}

/** A demo that was killed leaves its services' state and perhaps its machines: end what it left, start clean. */
function clearLastRun(report: Report): void {
  removeDemoSkill(projectRoot);
  if (!existsSync(stateDir)) return;
  const ended = endLeftovers(stateDir);
  rmSync(stateDir, { recursive: true, force: true });
  if (ended > 0) report.line(`an earlier demo was cut off: ended ${ended} process(es) that it had left`);
}

async function runSteps(environment: LocalEnvironment, report: Report): Promise<void> {
  const { cloud, stack, bot } = environment;
  const backend = backendAt(cloud.convex);
  const phone = new Phone(cloud.telegram.url, bot.username);
  const show = (): ((line: string) => void) => progressFilter((line) => report.line(line));

  report.step("pulumi up: Fly app, Convex backend, worker image by digest, Telegram webhook");
  const first = await stack.up(show());
  report.check(first.code === 0, "pulumi up succeeded");
  if (first.code !== 0) {
    say(first.output.split("\n").slice(-40).join("\n"));
    return;
  }
  const outputs = await stack.outputs();
  for (const line of outputLines(outputs)) report.line(line);
  report.check(
    (await phone.webhookUrl()) === outputs["telegramWebhookUrl"],
    "the bot's webhook points at the stack's output",
  );

  report.step("Two people write to the bot; Ada writes again");
  const adaFirst = await phone.write(ada, "Hello, my favourite colour is vermilion.");
  const brunoFirst = await phone.write(bruno, "Good morning, I would like a train to Lyon.");
  report.line("sent; the first machine is made and boots OpenClaw: 10 s to a minute …");
  await tellAnswer(report, phone, ada, adaFirst);
  await tellAnswer(report, phone, bruno, brunoFirst);
  const adaSecond = await phone.write(ada, "Do you remember what I told you first?");
  const remembered = await tellAnswer(report, phone, ada, adaSecond);
  report.check(
    environment.model.real ? remembered.length > 0 : remembered.includes("vermilion"),
    "Ada's second turn remembered her first",
  );
  report.check(!remembered.includes("Lyon"), "nothing of Bruno's conversation reached Ada's");
  await printTimelines(report, backend, phone, bot.token, [
    ["Ada, first", adaFirst],
    ["Bruno, first", brunoFirst],
    ["Ada, second", adaSecond],
  ]);

  report.step("pulumi up again: nothing changes");
  const second = await stack.up(undefined, ["--expect-no-changes"]);
  const counts = resourceCounts(second.output);
  report.line(
    Object.entries(counts)
      .map(([what, count]) => `${count} ${what}`)
      .join(", ") || "no summary",
  );
  report.check(second.code === 0, "the second pulumi up changed nothing");

  report.step("A changed worker: a skill is added, pulumi up builds it and rolls it out by digest");
  addDemoSkill(projectRoot);
  const rollout = await stack.up(show());
  report.check(rollout.code === 0, "pulumi up succeeded and its rollout is done");
  if (rollout.code !== 0) say(rollout.output.split("\n").slice(-30).join("\n"));
  const changed = await stack.outputs();
  report.check(changed["workerImage"] !== outputs["workerImage"], "the image has a new digest");
  const config = await backend.run<{ config: { provider: { image: string } } }>("factory:runtimeConfig");
  report.check(
    config.config.provider.image === changed["workerImage"],
    "the stack wrote that digest into the backend's runtime config by itself",
  );
  const adaThird = await phone.write(ada, "Are you still there, and what was my first message?");
  const third = await tellAnswer(report, phone, ada, adaThird);
  report.check(
    environment.model.real ? third.length > 0 : third.includes("vermilion"),
    "the conversation went on, on the new image, with its memory",
  );
  const [last] = (await timesOf(backend, bot.token, ada)).slice(-1);
  report.check(last?.image === changed["workerImage"], "the answering worker runs the new digest");

  report.step("What it took");
  const usage = usageSchema.parse(await fetchJson(`${cloud.fly.url}/local/usage`, cloud.fly.orgTokenFile));
  report.line(`${usage.machines.length} machines ran for ${Math.round(usage.machineSeconds)} seconds in all`);
  const stats = await backend.run<Record<string, number>>("factory:queueStats");
  report.check(stats["deadLetter"] === 0 && stats["processing"] === 0, "no message is left or given up");

  report.step("pulumi destroy: nothing stays behind");
  const destroyed = await stack.destroy(show());
  report.check(destroyed.code === 0, "pulumi destroy succeeded");
  if (destroyed.code !== 0) say(destroyed.output.split("\n").slice(-30).join("\n"));
  await checkNothingLeft(report, environment, phone, backend);
}

async function tellAnswer(report: Report, phone: Phone, person: Person, sent: Sent): Promise<string> {
  const entry = await phone.answer(person, sent.after, COLD_ANSWER_MS);
  const text = entry?.body.text ?? "";
  report.check(text.length > 0, `${person.first_name} got an answer: ${shortened(text)}`);
  return text;
}

/** Longest part of an answer that is shown, in characters. */
const SHOWN_MAX = 90;
const shortened = (text: string): string =>
  text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX - 1)}…` : text;

async function timesOf(backend: Backend, botToken: string, person: Person): Promise<MessageTimes[]> {
  const [botId = ""] = botToken.split(":");
  const conversationId = `telegram:${botId}:${person.id}`;
  return backend.run<MessageTimes[]>("factory:messageTimeline", { conversationId, limit: 20 });
}

async function printTimelines(
  report: Report,
  backend: Backend,
  phone: Phone,
  botToken: string,
  messages: Array<[string, Sent]>,
): Promise<void> {
  const attempts = await phone.webhookAttempts();
  const rows = [...(await timesOf(backend, botToken, ada)), ...(await timesOf(backend, botToken, bruno))];
  const timelines: Timeline[] = [];
  for (const [title, sent] of messages) {
    const accepted = attempts.find((attempt) => attempt.updateId === sent.updateId && attempt.status === 202);
    // The first message of a person that the backend took at or after the phone sent it.
    const times = rows
      .filter((row) => row.enqueuedAt >= sent.at - 50)
      .sort((a, b) => a.enqueuedAt - b.enqueuedAt)
      .find((row) => accepted === undefined || row.enqueuedAt <= accepted.at + accepted.ms + 50);
    report.check(times !== undefined && accepted !== undefined, `${title}: accepted by the webhook with 202`);
    if (times === undefined) continue;
    timelines.push({
      title,
      times,
      sentAt: sent.at,
      acceptedAt: accepted ? accepted.at + accepted.ms : null,
    });
  }
  report.line("");
  for (const line of timelineLines(timelines)) report.line(line);
}

/** What `/local/usage` of the embedded Fly says, as far as it is shown. */
const usageSchema = z.object({ machineSeconds: z.number(), machines: z.array(z.unknown()) });

async function fetchJson<T>(url: string, tokenFile: string): Promise<T> {
  const token = readFileSync(tokenFile, "utf8").trim();
  const response = await request(url, { headers: { authorization: `Bearer ${token}` } });
  return (await response.body.json()) as T;
}

async function checkNothingLeft(
  report: Report,
  environment: LocalEnvironment,
  phone: Phone,
  backend: Backend,
): Promise<void> {
  const { cloud } = environment;
  const { apps } = await fetchJson<{ apps: unknown[] }>(
    `${cloud.fly.url}/v1/apps?org_slug=personal`,
    cloud.fly.orgTokenFile,
  );
  report.check(apps.length === 0, "no Fly app is left, and with it no machine and no secret");
  const alive = runningMachines(environment.stateDir);
  report.check(alive.length === 0, "no machine's process is left");
  report.check((await phone.webhookUrl()) === "", "the bot has no webhook any more");
  const refs = ["convex.url", "fly.apiToken", "telegram.botToken.default"];
  const secrets = await backend.run<Array<{ hasActive: boolean }>>("factory:secretStatus", {
    secretRefs: refs,
  });
  report.check(
    secrets.every((secret) => !secret.hasActive),
    "the backend holds no secret of the stack any more",
  );
}

main().then(
  (code) => {
    if (!interrupted) process.exit(code);
  },
  (error: unknown) => {
    if (interrupted) return;
    if (error instanceof AlreadyRunning) {
      complain(error.message);
      process.exit(1);
    }
    complain(`\nThe demo stopped: ${error instanceof Error ? error.message : String(error)}`);
    complain("Run `npm run demo` again: it starts clean, whatever this run left.");
    process.exit(1);
  },
);
