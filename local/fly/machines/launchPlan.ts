import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RunConfig } from "../registry/imageStore.ts";
import type { MachineRecord } from "./record.ts";

/** Where one machine's parts are on this computer. */
export interface Folders {
  root: string;
  data: string;
  tmp: string;
  log: string;
  run: string;
}

export interface LaunchPlan {
  argv: string[];
  cwd: string;
  env: Record<string, string>;
}

const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The command, folder and environment of a machine. There is no chroot, so a path of the image means the same path
 * under the machine's root folder: the working directory, the entries of the image's PATH, and every argument that is
 * an absolute path existing there. Programs the image lacks (`node`) are found on the emulator's own PATH.
 */
export function planLaunch(
  record: Pick<MachineRecord, "id" | "app" | "region" | "privateIp" | "config" | "imageRef" | "instanceId">,
  image: RunConfig,
  secrets: Readonly<Record<string, string>>,
  folders: Folders,
  hostPath: string | undefined,
): LaunchPlan {
  const inRoot = (path: string): string => join(folders.root, path);
  const mapped = (argument: string): string =>
    argument.startsWith("/") && existsSync(inRoot(argument)) ? inRoot(argument) : argument;
  const imageEnv = parseEnv(image.Env ?? []);
  const imagePath = (imageEnv["PATH"] ?? "").split(":").filter((part) => part.startsWith("/"));
  const path = [
    ...imagePath.map(inRoot).filter((folder) => existsSync(folder)),
    dirname(process.execPath),
    hostPath ?? SYSTEM_PATH,
  ].join(":");
  const { guest } = record.config;
  return {
    argv: command(record.config.init, image).map(mapped),
    cwd: inRoot(image.WorkingDir ?? "/"),
    env: {
      LANG: "C.UTF-8",
      ...imageEnv,
      ...secrets,
      ...record.config.env,
      // Below: what the platform and the missing chroot dictate; nothing above may change it.
      PATH: path,
      FLY_APP_NAME: record.app,
      FLY_MACHINE_ID: record.id,
      FLY_ALLOC_ID: record.id,
      FLY_MACHINE_VERSION: record.instanceId,
      FLY_REGION: record.region,
      FLY_IMAGE_REF: `${record.imageRef.registry}/${record.imageRef.repository}@${record.imageRef.digest}`,
      FLY_PRIVATE_IP: record.privateIp,
      FLY_VM_MEMORY_MB: String(guest.memory_mb),
      PRIMARY_REGION: record.config.env?.["PRIMARY_REGION"] ?? record.region,
      DATA_DIR: folders.data,
      HOME: join(folders.root, "home"),
      TMPDIR: folders.tmp,
    },
  };
}

/** As container runtimes do: `exec` replaces everything; a new entrypoint drops the image's command. */
function command(init: MachineRecord["config"]["init"], image: RunConfig): string[] {
  if (init?.exec !== undefined && init.exec.length > 0) return init.exec;
  if (init?.entrypoint !== undefined) return [...init.entrypoint, ...(init.cmd ?? [])];
  return [...(image.Entrypoint ?? []), ...(init?.cmd ?? image.Cmd ?? [])];
}

function parseEnv(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines
      .filter((line) => line.includes("="))
      .map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
      }),
  );
}
