import type { RegistryClient } from "./registry.ts";

/** What every builder is given; it pushes `<app>:<tag>` and says how it goes. */
export interface BuildJob {
  root: string;
  app: string;
  tag: string;
  platform: string;
  /** Where docker keeps layers between builds, for example `type=gha`; null for this machine's own. */
  cache: string | null;
  /** Commit of the sources, noted in the image; empty outside a repository. */
  sourceRevision: string;
  /** Fly's token, with or without its scheme; never an argument of a tool. */
  token: string;
  registry: RegistryClient;
  progress: (line: string) => void;
}
