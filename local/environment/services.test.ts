import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { endLeftovers } from "./leftovers.ts";
import { startCloud } from "./services.ts";

const root = join(import.meta.dirname, "..", "..");

function folder(): string {
  const stateDir = mkdtempSync(join(tmpdir(), "agent-factory-cloud-"));
  onTestFinished(() => {
    endLeftovers(stateDir);
    rmSync(stateDir, { recursive: true, force: true });
  });
  return stateDir;
}

test("a service whose port somebody else has by now gets another one, the rest keep theirs", async () => {
  const stateDir = folder();
  const first = await startCloud(root, stateDir, () => undefined);
  await first.stop();
  const taken = [first.model.url, first.telegram.url, first.fly.registryUrl, first.convex.siteUrl];
  for (const url of taken) {
    const holder = createServer().listen(Number(new URL(url).port), "127.0.0.1");
    await once(holder, "listening");
    onTestFinished(() => void holder.close());
  }
  const second = await startCloud(root, stateDir, () => undefined);
  await second.stop();
  const urls = [second.model.url, second.telegram.url, second.fly.registryUrl, second.convex.siteUrl];
  for (const url of taken) expect(urls).not.toContain(url);
  const third = await startCloud(root, stateDir, () => undefined);
  await third.stop();
  expect(third.fly).toEqual(second.fly);
});

test("a service that dies is told with its log, one that is restarted or stopped is not", async () => {
  const stateDir = folder();
  const noted: string[][] = [];
  const cloud = await startCloud(root, stateDir, () =>
    noted.push(Object.keys(JSON.parse(readFileSync(join(stateDir, "pids.json"), "utf8")) as object)),
  );
  // A process that is killed while it starts them leaves a note of each that runs.
  expect(noted.at(0)).toEqual(["model"]);
  expect(noted.at(-1)).toEqual(["model", "telegram", "fly", "convex"]);

  const lost: string[] = [];
  void cloud.lost.then(({ name, how, log }) => lost.push(`${name} ${how} ${log}`));
  await cloud.restart("model");
  expect(lost).toEqual([]);
  process.kill(cloud.pids.telegram, "SIGKILL");
  await cloud.lost;
  await cloud.stop();
  expect(lost).toEqual([`telegram SIGKILL ${join(stateDir, "telegram.log")}`]);
});
