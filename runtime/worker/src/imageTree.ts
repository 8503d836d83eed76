/** The image as its build wrote it. */
import { readFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import * as z from "zod";
import type { CompileCache } from "./agent/gateway.ts";

export interface ImageTree {
  pluginDir: string;
  skillsDir: string;
  /** Name → SHA-256, as the build wrote it. */
  skillHashes: ReadonlyMap<string, string>;
  sourceRevision: string | null;
  /** Absolute folder of the openclaw package. */
  openclawDir: string;
  compileCache: CompileCache;
}

const imageSchema = z.object({
  contextHash: z.string(),
  sourceRevision: z.string().nullable(),
  /** Absolute, or relative to the tree. */
  openclawDir: z.string(),
  /** Absolute, or relative to the tree. */
  compileCacheDir: z.string(),
});

/** Reads the tree below `rootDir`. @throws when a file of the build is missing or malformed. */
export async function readImageTree(rootDir: string): Promise<ImageTree> {
  const image = imageSchema.parse(JSON.parse(await readFile(join(rootDir, "image.json"), "utf8")));
  const skills = z
    .record(z.string(), z.string())
    .parse(JSON.parse(await readFile(join(rootDir, "skills.json"), "utf8")));
  return {
    pluginDir: join(rootDir, "plugin"),
    skillsDir: join(rootDir, "skills"),
    skillHashes: new Map(Object.entries(skills)),
    sourceRevision: image.sourceRevision,
    openclawDir: resolve(rootDir, image.openclawDir),
    // A cache in the tree was made where the tree was built; another belongs to this computer.
    compileCache: {
      dir: resolve(rootDir, image.compileCacheDir),
      portable: !isAbsolute(image.compileCacheDir),
    },
  };
}
