import { tmpdir } from "node:os";

import { describe, expect, it } from "vitest";

import { redact, ShellRunner, type Shell } from "./shell.ts";

function shell(command: string, more: Partial<Shell> = {}): Shell {
  return {
    command,
    interpreter: ["/bin/sh", "-c"],
    dir: undefined,
    environment: {},
    stdin: "",
    timeoutMs: 30_000,
    secrets: [],
    shown: { stdout: true, stderr: true },
    onLine: () => undefined,
    ...more,
  };
}

describe("ShellRunner", () => {
  it("returns both streams without their last newline", async () => {
    const output = await new ShellRunner().run(shell("printf 'one\\ntwo\\n\\n'; echo warned >&2"));
    expect(output).toEqual({ stdout: "one\ntwo\n", stderr: "warned" });
  });

  it("gives the command its folder, environment and input", async () => {
    const given = { dir: tmpdir(), environment: { NAME: "factory" }, stdin: "from outside" };
    const { stdout } = await new ShellRunner().run(shell('pwd -P; echo "$NAME"; cat', given));
    expect(stdout).toMatch(/^\/.*\nfactory\nfrom outside$/);
  });

  it("survives a command that does not read its input", async () => {
    const output = new ShellRunner().run(shell("true", { stdin: "x".repeat(1_000_000) }));
    await expect(output).resolves.toEqual({ stdout: "", stderr: "" });
  });

  it("fails with the exit code, the command and what it wrote", async () => {
    const failing = new ShellRunner().run(shell("echo half; echo no space >&2; exit 7"));
    await expect(failing).rejects.toThrow(
      /^exit status 7: running "echo half.*":\n(half\nno space|no space\nhalf)\n$/,
    );
  });

  it("names a folder that does not exist", async () => {
    const failing = new ShellRunner().run(shell("true", { dir: "/does/not/exist" }));
    await expect(failing).rejects.toThrow("cannot start /bin/sh in /does/not/exist (does the folder exist?)");
  });

  it("shows lines as they come, from the streams that are to be shown, without secrets", async () => {
    const lines: string[] = [];
    const options = {
      shown: { stdout: true, stderr: false },
      secrets: ["hunter22"],
      onLine: (line: string) => lines.push(line),
    };
    await new ShellRunner().run(shell("echo pushing as hunter22; echo; echo quiet >&2", options));
    expect(lines).toEqual(["pushing as [secret]"]);
  });

  it("hides secrets in the error of a failed command", async () => {
    const failing = new ShellRunner().run(shell("echo hunter22; false", { secrets: ["hunter22"] }));
    await expect(failing).rejects.toThrow(/"echo \[secret\]; false":\n\[secret\]\n$/);
  });

  it("ends a command that takes too long, children included", async () => {
    const failing = new ShellRunner().run(shell("sleep 300 & wait", { timeoutMs: 100 }));
    await expect(failing).rejects.toThrow("took longer than 0.1 s");
  });

  it("ends a command that writes without end", async () => {
    const failing = new ShellRunner().run(shell("yes", { shown: { stdout: false, stderr: false } }));
    await expect(failing).rejects.toThrow("wrote more than 16777216 bytes to stdout");
  });

  it("ends running commands when cancelled, and starts no other", async () => {
    const runner = new ShellRunner();
    const started = Promise.withResolvers<void>();
    const running = runner.run(shell("echo started; sleep 300", { onLine: () => started.resolve() }));
    const cancelled = started.promise.then(() => runner.cancel());
    await expect(running).rejects.toThrow("the update was cancelled");
    await cancelled;
    await expect(runner.run(shell("true"))).rejects.toThrow("not started: the update was cancelled");
  });
});

describe("redact", () => {
  it("hides a secret of several lines line by line", () => {
    expect(redact("key is BEGIN", ["BEGIN\nmiddle"])).toBe("key is [secret]");
  });

  it("hides the longer of two secrets that share a start", () => {
    expect(redact("abcdef", ["abc", "abcdef"])).toBe("[secret]");
  });

  it("leaves text alone that only shares a letter or two with a secret", () => {
    expect(redact("a b", ["a", "", " \n"])).toBe("a b");
  });
});
