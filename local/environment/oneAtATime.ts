/**
 * One command at a time per environment. What a killed run has left is ended by the next one, so that a second
 * `npm run local` would otherwise take the running environment for such leftovers.
 */
import { releaseLock, takeLock } from "../../setup/lock.mjs";
import { isRunning } from "./leftovers.ts";

/** Another process has this environment; the message says which and what to do. */
export class AlreadyRunning extends Error {
  override name = "AlreadyRunning";
}

/**
 * Keeps an environment's folder for this process until it ends.
 * @param stateDir the environment's folder; the lock lies beside it, since a demo deletes its own.
 * @param program what the holder's command line contains: a process id alone may be somebody else's by now.
 * @param advice what to do when another process has it.
 * @throws AlreadyRunning when another process has it.
 */
export function takeEnvironment(stateDir: string, program: string, advice: string): void {
  const lock = `${stateDir}.pid`;
  const holder = takeLock(lock, (pid) => isRunning(pid, program));
  if (holder !== undefined) throw new AlreadyRunning(`Already running here (process ${holder}). ${advice}`);
  process.once("exit", () => releaseLock(lock));
}
