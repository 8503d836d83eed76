// How the Node language host starts a Pulumi program: pure, so that it can be read and tested apart from gRPC.

/** What the engine asks to run. Paths are absolute. */
export interface ProgramRun {
  readonly runner: string;
  readonly monitorAddress: string;
  readonly engineAddress: string;
  readonly organization: string;
  readonly project: string;
  readonly stack: string;
  readonly rootDirectory: string;
  readonly programDirectory: string;
  readonly entryPoint: string;
  readonly parallel: number;
  readonly dryRun: boolean;
  readonly config: Readonly<Record<string, string>>;
  readonly configSecretKeys: readonly string[];
  readonly args: readonly string[];
  readonly options: RuntimeOptions;
}

/** `runtime.options` of Pulumi.yaml that the Node host knows. */
export interface RuntimeOptions {
  /** false: the program is JavaScript, or Node strips the types itself. */
  readonly typescript: boolean;
  readonly tsconfig: string | undefined;
  readonly nodeargs: readonly string[];
}

/** Reads `runtime.options`; options of other package managers and so on do not concern running. */
export function runtimeOptions(options: Readonly<Record<string, unknown>>): RuntimeOptions {
  const nodeargs = options["nodeargs"];
  const tsconfig = options["tsconfig"];
  return {
    typescript: options["typescript"] !== false,
    tsconfig: typeof tsconfig === "string" ? tsconfig : undefined,
    nodeargs: typeof nodeargs === "string" ? nodeargs.split(/\s+/).filter(Boolean) : [],
  };
}

/** Arguments for `node`. Configuration, which holds secrets, is not among them. */
export function programArguments(run: ProgramRun): string[] {
  return [
    ...run.options.nodeargs,
    run.runner,
    ...["--monitor", run.monitorAddress],
    ...["--engine", run.engineAddress],
    ...["--organization", run.organization],
    ...["--project", run.project],
    ...["--root-directory", run.rootDirectory],
    ...["--stack", run.stack],
    ...["--pwd", run.programDirectory],
    ...["--parallel", String(run.parallel)],
    ...(run.dryRun ? ["--dry-run"] : []),
    run.entryPoint === "" ? "." : run.entryPoint,
    ...run.args,
  ];
}

/** What the program's environment has on top of the host's. */
export function programEnvironment(run: ProgramRun): Record<string, string> {
  return {
    PULUMI_CONFIG: JSON.stringify(run.config),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(run.configSecretKeys),
    PULUMI_NODEJS_TYPESCRIPT: String(run.options.typescript),
    ...(run.options.tsconfig === undefined ? {} : { PULUMI_NODEJS_TSCONFIG_PATH: run.options.tsconfig }),
  };
}

/** Exit code of a program that has shown its error already: nothing more is to be said. */
const exitAfterShownError = 32;

/** How the engine is told of a program's end. */
export type ProgramEnd = { kind: "done" } | { kind: "bail" } | { kind: "failed"; error: string };

export function programEnd(code: number | null, signal: NodeJS.Signals | null): ProgramEnd {
  if (code === 0) return { kind: "done" };
  if (code === exitAfterShownError) return { kind: "bail" };
  const how = code === null ? `was ended by ${signal}` : `exited with non-zero exit code: ${code}`;
  return { kind: "failed", error: `Program ${how}` };
}
