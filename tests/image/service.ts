/** A worker in a container: boots, answers a person on Telegram, drains on a signal and ends. */
import assert from "node:assert/strict";
import { startTestModel } from "../../runtime/worker/testing/model.ts";
import { until } from "../deployment/backend.ts";
import { Chat } from "../deployment/chat.ts";
import type { Engine } from "./engine.ts";
import type { Report } from "./report.ts";

const HOUR_MS = 3_600_000;
/** The scaler leaves the one worker alone. */
const SCALING_AT_REST = {
  scaling: { workerLostAfterMs: HOUR_MS, reconcileIntervalMs: HOUR_MS, idleTimeoutMs: HOUR_MS },
};
const READY_MS_MAX = 180_000;
const ANSWER_MS_MAX = 60_000;
const STOP_S_MAX = 60;
const person = { id: 4_711, first_name: "Ada" };
const words = ["Slowly ", "but ", "to ", "the ", "end."];

/** Every process of the container but the one that looks, as JSON. */
const LOOK = `
  const { readdirSync, readFileSync } = require("node:fs");
  const seen = [];
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)) {
    const status = readFileSync("/proc/" + pid + "/status", "utf8");
    const field = (name) => new RegExp("^" + name + ":\\\\s+(\\\\S+)", "m").exec(status)[1];
    seen.push({
      name: field("Name"), uid: field("Uid"), effective: field("CapEff"), bounding: field("CapBnd"),
      permitted: field("CapPrm"), noNewPrivileges: field("NoNewPrivs"),
    });
  }
  console.log(JSON.stringify(seen));`;
const NONE = "0000000000000000";

export async function checkService(engine: Engine, image: string, report: Report): Promise<void> {
  const model = await startTestModel(({ messages }) =>
    JSON.stringify(messages.at(-1)).includes("slowly")
      ? { kind: "slowly", words, pauseMs: 1_000 }
      : { kind: "text", text: "A short answer." },
  );
  const chat = await Chat.start(null, SCALING_AT_REST);
  const name = `agent-factory-check-${process.pid}`;
  try {
    // As ext4 makes it: root's, with a folder in it that nobody else may read.
    const own = "chown 0:0 /data && chmod 755 /data && mkdir -m 700 /data/lost+found";
    await engine.must(["volume", "create", name]);
    const volume = `--volume=${name}:/data`;
    await engine.must(["run", "--rm", ...engine.closed, volume, "--entrypoint=sh", image, "-c", own]);
    const env = {
      CONVEX_URL: chat.factory.backend.url,
      WORKER_ID: chat.worker.workerId,
      WORKER_TOKEN: chat.worker.token,
      OPENCLAW_AGENT_MODEL: "openai/instant",
      OPENCLAW_MODEL_BASE_URL: model.url,
      OPENAI_API_KEY: "check",
    };
    const variables = Object.entries(env).map(([key, value]) => `--env=${key}=${value}`);
    await engine.must(["run", "--detach", `--name=${name}`, ...engine.closed, volume, ...variables, image]);

    await report.check("on a read-only root with a volume of root's it becomes ready", async () => {
      const ready = (log: string): string | undefined => /^.*"msg":"Ready".*$/m.exec(log)?.[0];
      let log = "";
      await until(
        "the worker is ready",
        async () => {
          const { stdout, stderr } = await engine.run(["logs", name]);
          log = `${stdout}${stderr}`;
          assert(!log.includes("FATAL"), log);
          return ready(log) !== undefined;
        },
        READY_MS_MAX,
      );
      const { bootMs, gatewayBootMs } = JSON.parse(ready(log) ?? "{}") as Record<string, number>;
      return `${bootMs} ms, of which the gateway ${gatewayBootMs} ms`;
    });

    await report.check("no process of it is root's, has a capability or can get one", async () => {
      const seen = JSON.parse(await engine.must(["exec", name, "node", "-e", LOOK])) as Array<
        Record<string, string>
      >;
      const names = seen.map((process) => process["name"]);
      assert(names.includes("tini") && names.length > 2, `there are only ${names.join(", ")}`);
      for (const { name: process, ...rights } of seen) {
        const none = { effective: NONE, bounding: NONE, permitted: NONE, noNewPrivileges: "1" };
        assert.deepEqual(rights, { uid: "1000", ...none }, process);
      }
      return names.join(", ");
    });

    await report.check("it answers a person on Telegram", async () => {
      const { after } = await chat.write(person, "Hello.");
      const answer = await chat.phone.answer(person, after, ANSWER_MS_MAX);
      assert.equal(answer?.body.text, "A short answer.");
    });

    await report.check(
      "told to stop in the middle of a turn, it answers, says goodbye and ends with 0",
      async () => {
        const asked = model.requests.length;
        const { after } = await chat.write(person, "Now slowly, please.");
        await until("the turn runs", async () => model.requests.length > asked, ANSWER_MS_MAX);
        await engine.must(["stop", "-t", `${STOP_S_MAX}`, name]);
        assert.equal((await engine.must(["wait", name])).trim(), "0");
        const answer = await chat.phone.answer(person, after, ANSWER_MS_MAX);
        assert.equal(answer?.body.text, words.join(""));
        const [worker] = await chat.factory.backend.table("workers");
        assert.notEqual(worker?.state, "active");
      },
    );
  } finally {
    await engine.run(["rm", "--force", name]);
    await engine.run(["volume", "rm", "--force", name]);
    await chat.close();
    await model.close();
  }
}
