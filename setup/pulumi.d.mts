/** The repository's root folder. */
export const root: string;

/** How to run the Pulumi engine as a child process. */
export interface PulumiCommand {
  /** Absolute path of the engine. Run it directly: it passes signals on and needs no npm wrapper. */
  readonly command: string;
  /** The child's whole environment: PATH, PULUMI_HOME, PULUMI_VERSION, no update check, plus what was passed in. */
  readonly env: Record<string, string | undefined>;
  /** Folders of the stand-ins on PATH; empty when Pulumi's own language host and plugins are installed. */
  readonly standins: readonly string[];
}

/** A program that Pulumi's own hosts give out, and the folder of the stand-in that serves where they are out of reach. */
export interface HostedProgram {
  readonly kind: "language" | "resource";
  readonly name: string;
  readonly file: string;
  readonly folder: string;
}

/**
 * How to run Pulumi in this repository.
 * @param extra variables on top, such as PULUMI_BACKEND_URL and PULUMI_CONFIG_PASSPHRASE; they win.
 * @param base the environment to start from; the caller's own by default.
 * @throws when the engine is not set up; the message names the command that does it.
 */
export function pulumi(
  extra?: Record<string, string>,
  base?: Record<string, string | undefined>,
): PulumiCommand;

/** Version of the engine, without a leading v. */
export function engineVersion(): string;

/** Absolute path where the engine is, or will be after the set-up. */
export function enginePath(env?: Record<string, string | undefined>): string;

/** Pulumi's folder for engines and plugins: PULUMI_HOME, else ~/.pulumi. */
export function pulumiHome(env?: Record<string, string | undefined>): string;

export const hostedPrograms: readonly HostedProgram[];

/** Whether the real program is installed, in the version that our SDKs ask for. */
export function isInstalled(program: HostedProgram, env?: Record<string, string | undefined>): boolean;

/** Version of a plugin, without a leading v: that of its installed SDK. */
export function pluginVersion(name: string): string;

/** Folders to put on PATH for what is not installed. */
export function standinsInUse(env?: Record<string, string | undefined>): string[];

/** Whether the path is a file that can be run and is not empty. */
export function isExecutable(path: string): boolean;
