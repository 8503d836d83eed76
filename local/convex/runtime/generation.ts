import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { functionsOf, routerOf, type HttpRouter, type RegisteredFunction } from "../deploy/inspect.ts";
import type { PushFolder, PushManifest } from "../deploy/pushes.ts";

/** One loaded version of the user's code. A new push is a new generation; running calls keep theirs. */
export interface Generation {
  readonly push: string;
  readonly manifest: PushManifest | null;
  /** By normalised path, `module:export`. */
  readonly functions: ReadonlyMap<string, RegisteredFunction>;
  readonly router: HttpRouter | null;
}

export const NO_CODE: Generation = { push: "", manifest: null, functions: new Map(), router: null };

/** Modules that are entry points: shared chunks are only imported by them. */
export function isEntry(path: string): boolean {
  return !path.startsWith("_deps/") && path !== "schema.js";
}

/** Brings `messages`, `messages.js:list` and `messages:list` to one form, `module:export`. */
export function normalisePath(path: string): string {
  const separator = path.lastIndexOf(":");
  const module = separator === -1 ? path : path.slice(0, separator);
  const name = separator === -1 ? "default" : path.slice(separator + 1);
  return `${module.replace(/\.[cm]?[jt]sx?$/, "")}:${name}`;
}

/** Imports every entry module of a push. */
export async function loadGeneration(folder: PushFolder, push: string): Promise<Generation> {
  const manifest = folder.manifest(push);
  const functions = new Map<string, RegisteredFunction>();
  let router: HttpRouter | null = null;
  for (const { path } of manifest.modules) {
    if (!isEntry(path)) continue;
    const exports = await importModule(folder.modulesPath(push), path);
    for (const registered of functionsOf(exports)) {
      functions.set(normalisePath(`${path}:${registered.name}`), registered);
    }
    if (path === "http.js") router = routerOf(exports);
  }
  return { push, manifest, functions, router };
}

export async function importModule(root: string, path: string): Promise<Record<string, unknown>> {
  return (await import(pathToFileURL(join(root, path)).href)) as Record<string, unknown>;
}
