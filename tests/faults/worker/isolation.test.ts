/**
 * Many conversations on one worker, each with a secret of its own, their turns mixed: no request to the model, no
 * answer and no snapshot ever holds another's. `ISOLATION_CONVERSATIONS` sets how many (default 12); beyond the 32
 * that a worker holds warm, every turn arrives by a restore.
 */
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Log } from "../../../runtime/worker/src/log.ts";
import { silentLog } from "../../../runtime/worker/testing/log.ts";
import {
  type ChatRequest,
  type ModelReply,
  obedientModel,
  textOf,
} from "../../../runtime/worker/testing/model.ts";
import { startTestWorker, type TestWorker } from "../../../runtime/worker/testing/worker.ts";
import { descendantsOf, residentMb } from "../../processes.ts";
import { type Watched, watchProcess } from "../../watch.ts";

const count = Number(process.env["ISOLATION_CONVERSATIONS"] ?? "12");
const canaryPattern = /canary-\d+-[0-9a-f]{16}/g;

interface Subject {
  id: string;
  canary: string;
}
const subjects: Subject[] = Array.from({ length: count }, (_, index) => ({
  id: `subject-${index}`,
  canary: `canary-${index}-${createHash("sha256").update(`planted ${index}`).digest("hex").slice(0, 16)}`,
}));

const canariesIn = (text: string): string[] => [...new Set(text.match(canaryPattern))].sort();

/** Obeys a call; asked anything else, it says every canary that it was shown. */
function confessingModel(request: ChatRequest): ModelReply {
  const obeyed = obedientModel(request);
  if (obeyed.kind === "tools" || request.messages.at(-1)?.role === "tool") return obeyed;
  return { kind: "text", text: `I know ${canariesIn(JSON.stringify(request)).join(" ") || "nothing"}` };
}

/** Why gateways were replaced, in order. */
const replaced: unknown[] = [];
const log: Log = {
  ...silentLog,
  error: (fields, message) => {
    if (message !== "The gateway is replaced") return;
    replaced.push((fields as { reason?: unknown }).reason);
    console.info(`isolation: ${message}: ${JSON.stringify(fields)}`);
  },
};

let site: TestWorker;
beforeAll(async () => {
  site = await startTestWorker(confessingModel, {}, { log });
}, 180_000);
afterAll(async () => {
  await site?.close();
});

/** Everybody's next message at once, so that turns of different conversations run side by side. */
async function everybody(what: string, text: (subject: Subject, index: number) => string): Promise<string[]> {
  const startedAt = performance.now();
  const ids = subjects.map((subject, index) => site.deployment.enqueue(subject.id, text(subject, index)));
  const messages = await Promise.all(ids.map((id) => site.deployment.finished(id)));
  const troubles = messages.flatMap(({ conversationId, status, attempts, errors }) =>
    status === "done" && attempts === 1 ? [] : [{ what, conversationId, status, attempts, errors }],
  );
  for (const trouble of troubles) console.info(`isolation: ${JSON.stringify(trouble)}`);
  const pid = site.worker.enginePid();
  const gatewayMb = pid === null ? 0 : residentMb([pid, ...descendantsOf(pid)]);
  phases.push({ what, seconds: seconds(startedAt), retried: troubles.length, gatewayMb });
  // A soak that says nothing for half an hour is taken for one that hangs.
  console.info(`isolation: ${JSON.stringify(phases.at(-1))}`);
  expect(
    messages.filter(({ status }) => status !== "done").map(({ conversationId }) => conversationId),
  ).toEqual([]);
  return messages.map((message) => message.answer?.text ?? "");
}

interface Phase {
  what: string;
  seconds: number;
  /** Messages that needed more than one attempt. */
  retried: number;
  /** Resident memory of the gateway and what it started, at the end. */
  gatewayMb: number;
}
const phases: Phase[] = [];
const seconds = (since: number): number => Math.round((performance.now() - since) / 1_000);

const call = (tool: string, args: unknown): string => `CALL ${tool} ${JSON.stringify(args)}`;

/** The folder of a conversation that the worker holds now; a plausible one where it holds it no more. */
async function folderOf({ id }: Subject): Promise<string> {
  const prefix = createHash("sha256").update(id).digest("hex").slice(0, 20);
  const root = join(site.dataDir, "conversations");
  const names = await readdir(root);
  return join(root, names.findLast((name) => name.startsWith(prefix)) ?? `${prefix}-1`);
}

const heldBy = ({ memory_mb, open_files }: Watched): string =>
  `memory ${memory_mb.first} → ${memory_mb.last} MB (max ${memory_mb.max}), ` +
  `open files ${open_files.first} → ${open_files.last} (max ${open_files.max})`;

test(
  `${count} conversations, turns mixed: nobody sees, reads, lists or recalls another's secret`,
  async () => {
    const { deployment, model } = site;
    const startedAt = performance.now();
    const gateway = watchProcess(() => site.worker.enginePid());

    await everybody(
      "plant",
      ({ canary }) => `My secret is ${canary}. ${call("write", { path: "MEMORY.md", content: canary })}`,
    );
    const folders = await Promise.all(subjects.map(folderOf));
    const neighbour = (index: number): number => (index + 1) % count;
    const attacks = [
      (victim: number) => call("read", { path: join(folders[victim] ?? "", "MEMORY.md") }),
      (victim: number) => call("read", { path: `../${folders[victim]?.split("/").at(-1)}/MEMORY.md` }),
      (victim: number) =>
        call("sessions_history", { sessionKey: `agent:main:${folders[victim]?.split("/").at(-1)}` }),
      (victim: number) => call("memory_search", { query: subjects[victim]?.id }),
      (victim: number) => call("sessions_search", { query: subjects[victim]?.id }),
      (victim: number) => call("write", { path: join(folders[victim] ?? "", "MEMORY.md"), content: "gone" }),
    ];
    const stolen = await everybody(
      "attack",
      (_subject, index) => attacks[index % attacks.length]?.(neighbour(index)) ?? "",
    );
    const known = await everybody("ask", () => "What do you know?");
    const remembered = await everybody("read", () => call("read", { path: "MEMORY.md" }));

    for (const [index, { id, canary }] of subjects.entries()) {
      expect(canariesIn(stolen[index] ?? ""), `${id} attacked`).toEqual([]);
      expect(known[index], `${id} was asked`).toBe(`I know ${canary}`);
      expect(remembered[index], `${id} read its own file`).toContain(canary);
    }
    const mixed = model.requests.filter((request) => canariesIn(JSON.stringify(request)).length > 1);
    expect(mixed.map((request) => textOf(request.messages.at(-1)))).toEqual([]);
    for (const { id, canary } of subjects) {
      const held = deployment
        .snapshotsOf(id)
        .at(-1)
        ?.files.flatMap(({ sha256 }) => deployment.storedBlob(id, sha256) ?? []);
      const text = (held ?? [])
        .map(({ body, encoding }) => (encoding === "zstd" ? zstdDecompressSync(body) : body))
        .join("\n");
      expect(canariesIn(text), `the snapshot of ${id}`).toEqual([canary]);
    }
    const watched = gateway.stop();
    const heap = process.memoryUsage();
    console.info(
      `isolation: ${count} conversations, ${count * 4} turns, ${model.requests.length} model requests in ` +
        `${seconds(startedAt)} s, ${phases.reduce((sum, { retried }) => sum + retried, 0)} retried; ` +
        `gateway ${heldBy(watched)}, replaced ${replaced.length} times; ` +
        `worker with this test and all that it kept ${Math.round(heap.rss / 2 ** 20)} MB, of these ` +
        `${Math.round(heap.heapUsed / 2 ** 20)} MB in use`,
    );
    // A gateway that was lost under the soak is a finding, though every turn was answered.
    expect(replaced).toEqual([]);
  },
  60_000 + count * 15_000,
);
