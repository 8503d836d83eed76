// Stand-in for Pulumi's Node language host, used only where the real one cannot be had.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type {
  AboutRequest,
  GetProgramDependenciesRequest,
  ProgramInfo,
  RunRequest,
} from "@pulumi/pulumi/proto/language_pb.js";

import { killTree } from "../processTree.ts";
import { Empty, language, languageGrpc, plugin } from "../proto.ts";
import { engineAddress, serve, unary } from "../server.ts";
import { fromStruct } from "../values.ts";
import {
  programArguments,
  programEnd,
  programEnvironment,
  runtimeOptions,
  type ProgramEnd,
  type ProgramRun,
} from "./programCommand.ts";

const address = engineAddress();
const running = new Set<number>();

async function cancel(): Promise<void> {
  await Promise.all([...running].map(killTree));
}

function programRun(request: RunRequest): ProgramRun {
  const info = request.getInfo();
  const programDirectory = info?.getProgramDirectory() || request.getPwd();
  return {
    // The program's own SDK runs it, so that both sides of the wire to the engine have one version.
    runner: createRequire(join(programDirectory, "index.js")).resolve("@pulumi/pulumi/cmd/run"),
    monitorAddress: request.getMonitorAddress(),
    engineAddress: address,
    organization: request.getOrganization(),
    project: request.getProject(),
    stack: request.getStack(),
    rootDirectory: info?.getRootDirectory() || programDirectory,
    programDirectory,
    entryPoint: info?.getEntryPoint() || request.getProgram(),
    parallel: request.getParallel(),
    dryRun: request.getDryrun(),
    config: Object.fromEntries(request.getConfigMap().toObject()),
    configSecretKeys: request.getConfigsecretkeysList(),
    args: request.getArgsList(),
    options: runtimeOptions(fromStruct(info?.getOptions())),
  };
}

/** Runs the program with its output going where the engine reads it: this process's stdout and stderr. */
function runProgram(run: ProgramRun): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, programArguments(run), {
      cwd: run.programDirectory,
      env: { ...process.env, ...programEnvironment(run) },
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (child.pid !== undefined) running.add(child.pid);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (child.pid !== undefined) running.delete(child.pid);
      resolve(programEnd(code, signal));
    });
  });
}

function runResponse(end: ProgramEnd) {
  const response = new language.RunResponse();
  switch (end.kind) {
    case "done":
      return response;
    case "bail":
      return response.setBail(true);
    case "failed":
      return response.setError(end.error);
  }
}

/** Direct dependencies with the versions that are installed, for `pulumi about`. */
function programDependencies(info: ProgramInfo | undefined) {
  const directory = info?.getProgramDirectory() ?? process.cwd();
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
    dependencies?: Record<string, string>;
  };
  return Object.entries(manifest.dependencies ?? {}).map(([name, version]) =>
    new language.DependencyInfo().setName(name).setVersion(version),
  );
}

await serve(
  languageGrpc.LanguageRuntimeService,
  {
    handshake: unary(() => new language.LanguageHandshakeResponse()),
    getPluginInfo: unary(() => new plugin.PluginInfo().setVersion(process.env["PULUMI_VERSION"] ?? "0.0.0")),
    // Plugins are found when a resource first needs one; naming them here would make the engine download them.
    getRequiredPlugins: unary(() => new language.GetRequiredPluginsResponse()),
    getRequiredPackages: unary(() => new language.GetRequiredPackagesResponse()),
    run: unary(async (request: RunRequest) => runResponse(await runProgram(programRun(request)))),
    about: unary((_request: AboutRequest) =>
      new language.AboutResponse().setExecutable(process.execPath).setVersion(process.version.slice(1)),
    ),
    getProgramDependencies: unary((request: GetProgramDependenciesRequest) =>
      new language.GetProgramDependenciesResponse().setDependenciesList(
        programDependencies(request.getInfo()),
      ),
    ),
    generateProgram: unary((): never => {
      throw new Error(
        "The stand-in for Pulumi's Node language host writes no code; import with: pulumi import --generate-code=false",
      );
    }),
    runtimeOptionsPrompts: unary(() => new language.RuntimeOptionsResponse()),
    cancel: unary(async () => {
      await cancel();
      return new Empty();
    }),
  },
  cancel,
);
