/** Docker or podman, whichever is here: the few commands of it that the check of the image needs. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** Longer than any start or stop of a worker. */
const COMMAND_LIMIT_MS = 180_000;

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

export class Engine {
  /** The program and its own options, such as `podman --runtime runc`. */
  readonly command: readonly string[];
  readonly podman: boolean;

  constructor(command: readonly string[]) {
    this.command = command;
    this.podman = command[0]?.endsWith("podman") ?? false;
  }

  /** @throws naming what to install, when neither is here or answers. */
  static async find(given: string | undefined): Promise<Engine> {
    const candidates = given === undefined ? ["docker", "podman"] : [given];
    for (const candidate of candidates) {
      const engine = new Engine(candidate.split(" "));
      if ((await engine.run(["info"])).code === 0) return engine;
    }
    throw new Error(
      `no container engine: \`${candidates.join(" info` and `")} info\` failed. Install Docker with buildx, or on Debian: apt-get install podman runc debootstrap`,
    );
  }

  /** Runs a command to its end, whatever that is; 127 where the program is missing. */
  async run(args: readonly string[]): Promise<Ended> {
    const [program = "", ...options] = this.command;
    return await new Promise((resolve) => {
      const limits = { maxBuffer: OUTPUT_BYTES_MAX, timeout: COMMAND_LIMIT_MS };
      execFile(program, [...options, ...args], limits, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 127;
        resolve({ code, stdout, stderr });
      });
    });
  }

  /** @returns the standard output. @throws with the error output when the command fails. */
  async must(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`${this.command.join(" ")} ${args[0]}: ${stderr.trim()}`);
    return stdout;
  }

  /** Options of every container: podman asks for the highest limits, which not every machine may raise. */
  readonly plain: readonly string[] = [
    "--network=host",
    "--ulimit=nofile=16384:16384",
    "--ulimit=nproc=8192:8192",
  ];

  /** And of one that is closed off as a worker's may be: nothing but /tmp can be written. */
  get closed(): string[] {
    const readOnly = ["--read-only", ...(this.podman ? ["--read-only-tmpfs=false"] : []), "--tmpfs=/tmp"];
    return [...this.plain, ...readOnly];
  }
}

/** Runs a build with its output on this terminal. @throws when it fails. */
export async function runVisibly(command: readonly string[], cwd: string): Promise<void> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code ?? "a signal"}`);
}
