/**
 * A turn's calls, repeated while its lease holds: a backend that restarts or a network that is away for a moment must
 * not cost a turn, least of all one whose answer is ready. Each of these calls may be made twice: a bundle is only
 * read, a second preparation is collected when nobody finishes it, and what a first call has finished the second finds
 * finished. A second `complete` finds the lease gone and answers false, and the answer is stored all the same.
 */
import { insist } from "../insist.ts";
import { BackendError, type WorkerBackend } from "./backend.ts";

const mayPass = (error: unknown): boolean =>
  error instanceof BackendError && (error.kind === "retryable" || error.kind === "unknown");

/** @param signal ends the repetition: the keeper gives a lease up before it can have expired. */
export function patiently(backend: WorkerBackend, signal: AbortSignal): WorkerBackend {
  const patient = { mayPass, signal };
  return {
    ...backend,
    getHydrationBundle: (...args) => insist(() => backend.getHydrationBundle(...args), patient),
    complete: (turn) => insist(() => backend.complete(turn), patient),
    prepareDataSnapshotUpload: (...args) => insist(() => backend.prepareDataSnapshotUpload(...args), patient),
    finalizeDataSnapshotUpload: (...args) =>
      insist(() => backend.finalizeDataSnapshotUpload(...args), patient),
    failDataSnapshotUpload: (...args) => insist(() => backend.failDataSnapshotUpload(...args), patient),
    prepareAnswerFiles: (...args) => insist(() => backend.prepareAnswerFiles(...args), patient),
  };
}
