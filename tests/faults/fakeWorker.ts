import type { TestImage } from "../../local/fly/testing/image.ts";

/**
 * A worker that behaves towards the backend as the real image does, without an agent: it reports ready, claims,
 * beats, answers "ok", drains on SIGTERM. A turn lasts FAKE_TURN_MS; FAKE_BOOT=crash ends it at boot and
 * FAKE_TURNS=fail fails every turn. It polls its inbox, where the image subscribes.
 */
const MAIN = `
const { CONVEX_URL, WORKER_ID, WORKER_TOKEN, FAKE_TURN_MS = "200", FAKE_BOOT, FAKE_TURNS, WORKER_DRAIN_TIMEOUT_MS } = process.env;
const credential = { workerId: WORKER_ID, token: WORKER_TOKEN };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function call(kind, name, args) {
  const response = await fetch(CONVEX_URL + "/api/" + kind, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path: "worker:" + name, args: { credential, ...args }, format: "json" }),
    signal: AbortSignal.timeout(10000),
  });
  const body = await response.json();
  if (body.status === "success") return body.value;
  if (JSON.stringify(body).includes("Unknown worker or wrong token")) process.exit(3);
  throw new Error(name + ": " + JSON.stringify(body).slice(0, 300));
}
// The backend may be away for a while: every call is repeated, since each is idempotent or fenced.
async function insist(kind, name, args) {
  for (;;) {
    try { return await call(kind, name, args); } catch (error) { console.error(String(error)); await pause(250); }
  }
}
if (FAKE_BOOT === "crash") process.exit(1);
const turns = new Set();
let draining = false;
async function turn(claim) {
  const lease = { messageId: claim.messageId, leaseId: claim.leaseId };
  const endsAt = Date.now() + Number(FAKE_TURN_MS);
  const beat = setInterval(() => void call("mutation", "heartbeat", lease).catch(() => {}), claim.heartbeatIntervalMs);
  await pause(Math.max(0, endsAt - Date.now()));
  clearInterval(beat);
  if (FAKE_TURNS === "fail") await insist("mutation", "fail", { ...lease, errorMessage: "model failed" });
  else await insist("mutation", "complete", { ...lease, answer: { text: "ok" }, history: [] });
}
async function leave(reason) {
  if (draining) return;
  draining = true;
  await Promise.race([Promise.all(turns), pause(Number(WORKER_DRAIN_TIMEOUT_MS))]);
  await call("mutation", "stopped", { reason }).catch(() => {});
  process.exit(0);
}
process.on("SIGTERM", () => void leave("SIGTERM"));
await insist("mutation", "ready", { report: { bootMs: 100, skills: [], removedSkills: [] } });
let claims = 0;
let beatAt = Date.now();
for (;;) {
  const inbox = await insist("query", "inbox", {});
  if (inbox.draining) await leave("told to drain");
  while (!draining && turns.size < inbox.jobsPerWorker) {
    const claim = await insist("mutation", "claim", { claimKey: WORKER_ID + "-" + process.pid + "-" + ++claims });
    if (claim === null) break;
    const running = turn(claim).finally(() => turns.delete(running));
    turns.add(running);
  }
  if (turns.size === 0 && Date.now() - beatAt > inbox.idleHeartbeatIntervalMs) {
    beatAt = Date.now();
    await call("mutation", "heartbeat", {}).catch(() => {});
  }
  await pause(150);
}
`;

/** @param revision makes the image's digest differ while its behaviour stays. */
export const fakeWorkerImage = (revision: string): TestImage => ({
  layers: [{ "app/main.mjs": MAIN, "app/revision": revision }],
  entrypoint: ["node"],
  cmd: ["main.mjs"],
  workingDir: "/app",
});
