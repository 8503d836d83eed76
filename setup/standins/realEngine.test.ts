// The stand-ins under the real engine. Where Pulumi's own language host and plugins are installed, these run
// instead: the same expectations then prove that a stand-in behaves as what it stands in for.
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { pulumi, root } from "../pulumi.mjs";

const token = "correct-horse-battery";
const stack = "fixture";

let folder: string;
let state: string;
let journalPath: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "agent-factory-standins-"));
  state = mkdtempSync(join(tmpdir(), "agent-factory-state-"));
  journalPath = join(folder, "journal");
  cpSync(join(root, "setup", "fixtures", "pulumi"), folder, { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  await succeed("stack", "init", stack);
  await configure({ create: "echo made; echo and noted >&2", journal: journalPath });
  await succeed("config", "set", "--secret", "token", token);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(state, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

function start(args: readonly string[]) {
  const { command, env } = pulumi({
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_CONFIG_PASSPHRASE: "fixture",
  });
  return spawn(command, [...args, "--non-interactive"], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function run(
  args: readonly string[],
  onOutput?: (output: string, interrupt: () => void) => void,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = start(args);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        onOutput?.(output, () => child.kill("SIGINT"));
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}

async function succeed(...args: string[]): Promise<string> {
  const { code, output } = await run(args);
  expect(code, output).toBe(0);
  return output;
}

async function configure(values: Record<string, string>): Promise<void> {
  const pairs = Object.entries(values).flatMap(([key, value]) => ["--plaintext", `${key}=${value}`]);
  await succeed("config", "set-all", "--stack", stack, ...pairs);
}

const up = (...args: string[]) => run(["up", "--yes", "--skip-preview", "--stack", stack, ...args]);

async function outputs(): Promise<Record<string, string>> {
  return JSON.parse(await succeed("stack", "output", "--json", "--show-secrets", "--stack", stack));
}

interface Exported {
  readonly deployment: {
    readonly resources: { type: string; id?: string; inputs?: unknown; outputs?: Record<string, unknown> }[];
  };
}

async function exported(): Promise<Exported["deployment"]["resources"]> {
  const text = await succeed("stack", "export", "--stack", stack);
  return (JSON.parse(text) as Exported).deployment.resources ?? [];
}

function journal(): string[] {
  return readFileSync(journalPath, "utf8").trim().split("\n");
}

describe("a program with random, command and dynamic resources", () => {
  it("is only planned by a preview: nothing runs, what is not known yet is shown as such", async () => {
    const { code, output } = await run(["preview", "--stack", stack]);
    expect(output).toContain("+ 7 to create");
    expect(output).toMatch(/buildOutput\s*: (\[unknown\]|output<string>)/);
    expect(code).toBe(0);
    expect(await exported()).toEqual([]);
  });

  it("is created, with progress lines, secret outputs and outputs of every kind", async () => {
    const { code, output } = await up();
    expect(output).toContain("+ 7 created");
    expect(output).toContain("and noted");
    expect(output).not.toContain(token);
    expect(code).toBe(0);

    const shown = await outputs();
    expect(shown).toMatchObject({
      buildOutput: "made",
      tokenLength: String(token.length),
      loud: "HELLO",
      stack,
    });
    expect(shown["keyHex"]).toMatch(/^[0-9a-f]{64}$/);
    expect(shown["suffixHex"]).toMatch(/^app-[0-9a-f]{8}$/);
    expect(shown["passwordResult"]).toMatch(/^[A-Za-z0-9]{20}$/);
    expect(shown["passwordResult"]?.replace(/\D/g, "").length).toBeGreaterThanOrEqual(3);
  });

  it("keeps no secret readable in the state", async () => {
    const { keyHex = "", passwordResult = "" } = await outputs();
    const text = JSON.stringify(await exported());
    for (const secret of [token, keyHex, passwordResult, Buffer.from(keyHex, "hex").toString("base64")]) {
      expect(secret.length).toBeGreaterThan(10);
      expect(text).not.toContain(secret);
    }
  });

  it("changes nothing when nothing changed", async () => {
    const { code, output } = await up("--expect-no-changes");
    expect(output).toContain("7 unchanged");
    expect(code).toBe(0);
  });

  it("changes nothing by a refresh", async () => {
    expect(await succeed("refresh", "--yes", "--stack", stack)).toContain("7 unchanged");
  });

  it("runs the update command, which sees the last output", async () => {
    await configure({ update: 'echo "after $PULUMI_COMMAND_STDOUT"' });
    const { output } = await up();
    expect(output).toContain("~ 1 updated");
    expect((await outputs())["buildOutput"]).toBe("after made");
  });

  it("is replaced by a changed trigger: created anew, then the old one's delete command runs", async () => {
    await configure({ trigger: "second" });
    const { output } = await up();
    expect(output).toContain("+-1 replaced");
    expect((await outputs())["buildOutput"]).toBe("made");
    expect(journal()).toEqual(["deleted after after made"]);
  });

  it("passes standard input on", async () => {
    await configure({ update: "tr a-z A-Z", stdin: "read me" });
    await up();
    expect((await outputs())["buildOutput"]).toBe("READ ME");
  });

  it("updates a dynamic resource in place", async () => {
    await configure({ text: "bye" });
    const { output } = await up();
    expect(output).toContain("~ 1 updated");
    expect((await outputs())["loud"]).toBe("BYE");
  });

  it("fails with the exit code and what the command wrote, and is whole again after the fix", async () => {
    await configure({ update: "echo half done; echo no disk left >&2; exit 3" });
    const failed = await up();
    expect(failed.code).not.toBe(0);
    expect(failed.output).toMatch(/exit status 3: running ".*exit 3":\s+half done\s+no disk left/);

    await configure({ update: "echo repaired" });
    const repaired = await up();
    expect(repaired.code, repaired.output).toBe(0);
    expect((await outputs())["buildOutput"]).toBe("repaired");
  });

  it("fails with the program's own words when the program throws", async () => {
    await succeed("config", "rm", "journal", "--stack", stack);
    const { code, output } = await up();
    expect(code).not.toBe(0);
    expect(output).toContain("Missing required configuration variable 'setup-fixture:journal'");
    await configure({ journal: journalPath });
  });

  it("ends a running command, children included, when the update is interrupted", async () => {
    const pidPath = join(folder, "pid");
    await configure({ update: `sleep 300 & echo $! > ${pidPath}; echo started; wait` });
    let interrupted = false;
    const { code, output } = await run(
      ["up", "--yes", "--skip-preview", "--stack", stack],
      (text, interrupt) => {
        if (interrupted || !/started/.test(text)) return;
        interrupted = true;
        interrupt();
      },
    );
    expect(interrupted, output).toBe(true);
    expect(code).not.toBe(0);
    const pid = Number(readFileSync(pidPath, "utf8"));
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => isAlive(pid)).toBe(false);
    await configure({ update: "echo calm" });
    expect((await up()).code).toBe(0);
  });

  it("imports a random id by its value", async () => {
    const args = ["random:index/randomId:RandomId", "adopted", "kept-,q83v"];
    await succeed("import", ...args, "--yes", "--generate-code=false", "--protect=false", "--stack", stack);
    const adopted = (await exported()).find((resource) => resource.id === "q83v");
    expect(adopted?.outputs).toMatchObject({ hex: "kept-abcdef", prefix: "kept-", byteLength: 3 });
  });

  it("is destroyed without a rest, each delete command run once", async () => {
    const output = await succeed("destroy", "--yes", "--skip-preview", "--stack", stack);
    expect(output).toContain("- 8 deleted");
    expect(await exported()).toEqual([]);
    expect(journal().slice(1)).toEqual(["deleted after calm"]);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie nobody reaped is dead, too.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
