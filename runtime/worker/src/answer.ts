/** The good path of a turn: hydrate, run, snapshot, complete. What goes wrong is thrown and `turn.ts` reports it. */
import type { Answer, Claim, HydrationBundle } from "../../convex/validators.ts";
import { bridgeToolSpecs, resolveBridge } from "./agent/bridgeSetup.ts";
import type { AgentEngine } from "./agent/engine.ts";
import { composePrompt } from "./agent/prompt.ts";
import type { Resident, Residents } from "./agent/residents.ts";
import { transcriptToFiles } from "./agent/transcriptFiles.ts";
import { GatewayUnavailableError } from "./agent/rpc.ts";
import { shownPictures } from "./attachments/pictures.ts";
import { receiveAttachments } from "./attachments/receive.ts";
import { takeOutbox, uploadFiles, withUnsent } from "./attachments/send.ts";
import type { HydrationHolds, WorkerBackend } from "./backend/backend.ts";
import type { LeaseKeeper } from "./lease.ts";
import type { Log } from "./log.ts";
import { startPreview } from "./reply/preview.ts";
import { startTyping } from "./reply/typing.ts";
import { type FolderFile, scanFolder, sha256Hex } from "./snapshot/folder.ts";
import { PROFILE_PATH } from "./snapshot/limits.ts";
import { saveSnapshot } from "./snapshot/save.ts";
import { TurnFailed } from "./turnFailed.ts";

export interface AnswerDeps {
  backend: WorkerBackend;
  engine: AgentEngine;
  residents: Residents;
  log: Log;
  /** Whether the model accepts pictures. */
  modelSees: boolean;
  /** Named moments of a turn, for tests that end the process at one of them. */
  reached?: (point: CrashPoint) => void;
}

export type CrashPoint =
  | "claimed"
  | "hydrated"
  | "restored"
  | "modelCalled"
  | "modelAnswered"
  | "prepared"
  | "uploaded"
  | "finalized"
  | "completed";

/** null: the lease is lost and nothing more may be written. */
export type Answered = {
  hydrateMs: number;
  modelMs: number;
  snapshotMs: number;
  uploadedBytes: number;
} | null;

/** Runs of one claim: a gateway that is lost under a turn is replaced, and the turn run once more at once. */
const RUNS_MAX = 2;

export async function answer(claim: Claim, keeper: LeaseKeeper, deps: AnswerDeps): Promise<Answered> {
  for (let run = 1; ; run += 1) {
    try {
      return await answerOnce(claim, keeper, deps, run);
    } catch (error) {
      keeper.signal.throwIfAborted();
      if (!(error instanceof GatewayUnavailableError) || run === RUNS_MAX) throw error;
      deps.log.warn(
        { messageId: claim.messageId, leaseId: claim.leaseId, run },
        "The gateway was lost; running again",
      );
      // What the lost run wrote to the folder is not what the backend knows.
      deps.residents.evict(claim.conversationId);
    }
  }
}

async function answerOnce(
  claim: Claim,
  keeper: LeaseKeeper,
  deps: AnswerDeps,
  run: number,
): Promise<Answered> {
  const { backend, engine, residents } = deps;
  const { signal } = keeper;
  const startedAt = performance.now();
  const bundle = await hydrate(keeper, backend, residents.holds(claim.conversationId));
  deps.reached?.("hydrated");

  const stopTyping = startTyping(bundle, signal);
  const preview = startPreview(backend, keeper.ref, bundle.previewIntervalMs, signal);
  try {
    const resident =
      (await residents.obtain(bundle, claim.dedication, signal)) ??
      (await residents.obtain(await hydrate(keeper, backend, null), claim.dedication, signal));
    signal.throwIfAborted();
    if (resident === null) throw new TurnFailed("The backend left out what this worker does not hold");
    for (const { tool, reason } of resident.tools.refused) {
      deps.log.warn({ agentKey: bundle.agentKey, tool, reason }, "A tool of the profile is not granted");
    }
    deps.reached?.("restored");
    const received = await receiveAttachments(resident.folder, bundle, signal);
    const text = [bundle.payload.messageText, ...received.lines].join("\n");
    const hydratedAt = performance.now();
    deps.reached?.("modelCalled");
    const result = await engine.runTurn(resident.session, {
      text,
      pictures: shownPictures(received.pictures, { modelSees: deps.modelSees, attempt: claim.attempt }),
      extraSystemPrompt: await composePrompt(resident.folder, resident.profile, resident.skills),
      idempotencyKey: `${claim.messageId}:${claim.attempt}${run === 1 ? "" : `:${run}`}:${claim.leaseId}`,
      timeoutMs: claim.turnTimeoutMs,
      signal,
      onText: (written) => preview.offer(written),
      setup: {
        messageId: claim.messageId,
        tools: resident.tools.tools,
        functions: bridgeToolSpecs(resident.profile),
        bridge: resolveBridge(bundle),
      },
    });
    preview.stop();
    if (result.kind !== "answered")
      throw new TurnFailed(
        `The turn ended ${result.kind}: ${result.reason}`,
        `the turn ended ${result.kind}`,
      );
    const modelEndedAt = performance.now();
    deps.reached?.("modelAnswered");
    const timings = {
      hydrateMs: Math.round(hydratedAt - startedAt),
      modelMs: Math.round(modelEndedAt - hydratedAt),
    };
    const stored = await store(bundle, resident, keeper, deps, {
      text: result.text,
      usage: result.usage,
      userText: text,
      timings,
    });
    return stored === null ? null : { ...timings, ...stored };
  } finally {
    preview.stop();
    stopTyping();
  }
}

async function hydrate(
  keeper: LeaseKeeper,
  backend: WorkerBackend,
  holds: HydrationHolds | null,
): Promise<HydrationBundle> {
  const bundle = await backend.getHydrationBundle(keeper.ref, holds);
  keeper.signal.throwIfAborted();
  // Either the lease is gone, and failing it changes nothing, or its agent is, and the message must not wait.
  if (bundle === null) throw new TurnFailed("The backend gave no hydration bundle for this message");
  return bundle;
}

interface Produced {
  text: string;
  userText: string;
  usage: { inputTokens?: number; outputTokens?: number };
  timings: { hydrateMs: number; modelMs: number };
}

/** Files, snapshot, answer: in this order, so that what is answered is also remembered. */
async function store(
  bundle: HydrationBundle,
  resident: Resident,
  keeper: LeaseKeeper,
  deps: AnswerDeps,
  produced: Produced,
): Promise<{ snapshotMs: number; uploadedBytes: number } | null> {
  const { backend } = deps;
  const { signal } = keeper;
  const startedAt = performance.now();
  const outbox = await takeOutbox(resident.folder);
  const text = withUnsent(produced.text, outbox.tooLarge);
  const files = await uploadFiles(backend, keeper.ref, outbox.files, signal);
  const state = await stateOf(resident, deps);
  const saved = files === null ? null : await saveSnapshot(backend, keeper.ref, state, signal, deps.reached);
  signal.throwIfAborted();
  if (files === null || saved === null) {
    deps.residents.evict(bundle.conversationId);
    return null;
  }
  const snapshotMs = Math.round(performance.now() - startedAt);
  const history = [
    { role: "user" as const, content: produced.userText },
    { role: "assistant" as const, content: text },
  ];
  const stored = await backend.complete({
    ...keeper.ref,
    answer: answerOf(text, files),
    history,
    snapshotId: saved.snapshotId,
    usage: produced.usage,
    timings: produced.timings,
  });
  deps.reached?.("completed");
  if (!stored) {
    deps.residents.evict(bundle.conversationId);
    return null;
  }
  resident.snapshotVersion = saved.version;
  resident.historyThrough += history.length;
  return { snapshotMs, uploadedBytes: saved.uploadedBytes };
}

/** null when the agent chose to say nothing. */
function answerOf(text: string, files: Answer["files"]): Answer | null {
  const hasFiles = files !== undefined && files.length > 0;
  if (text.trim() === "" && !hasFiles) return null;
  return { text, ...(hasFiles ? { files } : {}) };
}

/** Everything that the next turn needs, wherever it runs. */
async function stateOf(resident: Resident, deps: AnswerDeps): Promise<FolderFile[]> {
  const scan = await scanFolder(resident.folder);
  for (const { reason } of scan.skipped) {
    deps.log.warn({ conversationId: resident.conversationId, reason }, "A file is not part of the snapshot");
  }
  const transcript = await deps.engine.exportTranscript(resident.session);
  return [
    ...scan.files,
    ...[...transcriptToFiles(transcript)].map(([path, text]) => reservedFile(path, text)),
    reservedFile(PROFILE_PATH, JSON.stringify(resident.templates)),
  ];
}

function reservedFile(path: string, text: string): FolderFile {
  const content = Buffer.from(text);
  return { path, content, sha256: sha256Hex(content) };
}
