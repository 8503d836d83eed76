import type { RegistryClient } from "./registry.ts";

/** What every builder is given; it pushes `<app>:<tag>` and says how it goes. */
export interface BuildJob {
  root: string;
  app: string;
  tag: string;
  platform: string;
  registry: RegistryClient;
  progress: (line: string) => void;
}
