import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import { RequestError } from "../engine/errors.ts";
import type { CronSpec } from "./inspect.ts";
import type { ValidatorJson } from "../values/describe.ts";

export interface PushedModule {
  /** As the CLI names it, such as "messages.js" or "_deps/chunk.js". */
  readonly path: string;
  readonly source: string;
  readonly sourceMap?: string | undefined;
  readonly environment: "isolate" | "node";
}

export interface ModuleHash {
  readonly path: string;
  readonly environment: "isolate" | "node";
  /** Hex SHA-256 of the source followed by the source map, as the CLI computes it. */
  readonly hash: string;
}

export interface TableSchema {
  readonly tableName: string;
  readonly indexes: readonly { readonly indexDescriptor: string; readonly fields: readonly string[] }[];
  readonly documentType: ValidatorJson | null;
}

export interface Schema {
  readonly tables: readonly TableSchema[];
  readonly schemaValidation: boolean;
}

export interface AnalyzedFunction {
  readonly name: string;
  readonly udfType: "Query" | "Mutation" | "Action";
  readonly visibility: { readonly kind: "public" | "internal" };
  readonly args: string;
  readonly returns: string;
}

/** One pushed version of the code: everything needed to run it again after a restart. */
export interface PushManifest {
  readonly id: string;
  readonly modules: readonly ModuleHash[];
  readonly schema: Schema | null;
  readonly functions: Readonly<Record<string, readonly AnalyzedFunction[]>>;
  readonly routes: readonly { readonly method: string; readonly path: string }[] | null;
  readonly crons: Readonly<Record<string, CronSpec>>;
}

const MANIFEST = "push.json";
/** Module files lie in a folder of their own, so that no module can be named like the manifest. */
const MODULES = "modules";

export function moduleHash(source: string, sourceMap: string | undefined): string {
  return createHash("sha256")
    .update(source)
    .update(sourceMap ?? "")
    .digest("hex");
}

/** Pushed code as folders under the state: `code/<push>/modules/…` and `code/<push>/push.json`. */
export class PushFolder {
  readonly #root: string;

  constructor(state: string) {
    this.#root = join(state, "code");
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  #path(push: string): string {
    if (!/^[a-z0-9-]{1,64}$/.test(push)) throw new Error(`Malformed push id ${JSON.stringify(push)}.`);
    return join(this.#root, push);
  }

  /** Folder that holds the modules of a push. */
  modulesPath(push: string): string {
    return join(this.#path(push), MODULES);
  }

  /** Writes the modules of a new push. */
  write(push: string, modules: readonly PushedModule[]): void {
    const root = this.modulesPath(push);
    mkdirSync(root, { recursive: true, mode: 0o700 });
    writeFileSync(join(root, "package.json"), '{"type":"module"}');
    for (const module of modules) {
      const path = resolve(root, module.path);
      if (!path.startsWith(root + sep)) throw new Error(`Module path ${module.path} leaves the folder.`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, module.source);
      if (module.sourceMap !== undefined) writeFileSync(`${path}.map`, module.sourceMap);
    }
  }

  /** Source and source map of one module of an earlier push. */
  read(push: string, module: ModuleHash): PushedModule {
    const path = join(this.modulesPath(push), module.path);
    const source = readFileSync(path, "utf8");
    const sourceMap = readIfThere(`${path}.map`);
    return { path: module.path, environment: module.environment, source, sourceMap };
  }

  seal(manifest: PushManifest): void {
    const path = join(this.#path(manifest.id), MANIFEST);
    writeFileSync(`${path}.new`, JSON.stringify(manifest));
    renameSync(`${path}.new`, path);
  }

  manifest(push: string): PushManifest {
    const text = readIfThere(join(this.#path(push), MANIFEST));
    if (text === undefined) {
      throw new RequestError(
        400,
        "RaceDetected",
        "Another push finished while this one was under way. Deploy again.",
      );
    }
    return JSON.parse(text) as PushManifest;
  }

  /** Removes every push but these. */
  prune(keep: ReadonlySet<string>): void {
    for (const name of readdirSync(this.#root)) {
      if (!keep.has(name)) rmSync(join(this.#root, name), { recursive: true, force: true });
    }
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
