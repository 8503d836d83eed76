// One set-up at a time per place: a file with the pid of its holder, so that a killed holder blocks nobody.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { SetupError } from "./progress.mjs";

/** How long to wait for another set-up, in milliseconds; a build of the engine takes a few minutes. */
const waitMaxMs = 30 * 60 * 1_000;
const pollMs = 250;

/**
 * Runs `work` while holding the lock at `path`.
 * @template T
 * @param {string} path
 * @param {(pid: number) => void} onWait called once when another process holds the lock
 * @param {() => Promise<T>} work
 * @param {number} [limitMs]
 * @returns {Promise<T>}
 */
export async function withLock(path, onWait, work, limitMs = waitMaxMs) {
  mkdirSync(dirname(path), { recursive: true });
  const deadline = Date.now() + limitMs;
  let waiting = false;
  while (!take(path)) {
    const holder = holderOf(path);
    if (holder !== undefined && !isAlive(holder)) {
      removeStale(path, holder);
      continue;
    }
    if (Date.now() > deadline) {
      throw new SetupError(
        `Another set-up (process ${holder}) has held ${path} for too long. If it hangs, end it and run this again.`,
      );
    }
    if (!waiting && holder !== undefined) {
      waiting = true;
      onWait(holder);
    }
    await sleep(pollMs);
  }
  const release = () => rmSync(path, { force: true });
  process.once("exit", release);
  try {
    return await work();
  } finally {
    process.off("exit", release);
    release();
  }
}

/** Bound of `takeLock`: each try loses against another process that took or released the lock meanwhile. */
const triesMax = 20;

/**
 * Takes the lock at `path` when it is free or its holder is gone, without waiting.
 * @param {string} path
 * @param {(pid: number) => boolean} [holds] whether that process still is the holder; by default whether it runs
 * @returns {number | undefined} the holder's pid; undefined when the lock is ours now, until `releaseLock`
 */
export function takeLock(path, holds = isAlive) {
  mkdirSync(dirname(path), { recursive: true });
  for (let tries = 0; tries < triesMax; tries += 1) {
    if (take(path)) return undefined;
    const holder = holderOf(path);
    if (holder === undefined) continue;
    if (holds(holder)) return holder;
    removeStale(path, holder);
  }
  throw new Error(`${path} cannot be taken. Delete it if nothing runs.`);
}

/** Gives up a lock of ours. @param {string} path */
export function releaseLock(path) {
  if (holderOf(path) === process.pid) rmSync(path, { force: true });
}

/** @param {string} path */
function take(path) {
  // Written aside and linked: nobody ever sees a lock without its holder's pid.
  const aside = `${path}.${process.pid}`;
  writeFileSync(aside, String(process.pid));
  try {
    linkSync(aside, path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** @param {string} path */
function holderOf(path) {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined; // released a moment ago: the next try takes it
  }
}

/**
 * Moves a dead holder's lock away. Two waiters may try at once: the one that finds it moved the new
 * holder's lock instead puts that back.
 * @param {string} path @param {number} holder
 */
function removeStale(path, holder) {
  const moved = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, moved);
  } catch {
    return; // another waiter was faster
  }
  if (holderOf(moved) !== holder) {
    try {
      linkSync(moved, path);
    } catch {
      // A third process took the free place in between; both then work, which the steps survive: they end in renames.
    }
  }
  rmSync(moved, { force: true });
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}
