/** The scripts that the workflows call, with recording stand-ins for `pulumi` and `node` on PATH. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");
const DIGEST = `registry.fly.io/af-staging@sha256:${"a".repeat(64)}`;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "af-scripts-"));
  mkdirSync(join(folder, "bin"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A program that notes its arguments; when they begin with `refuses` it fails with that text. */
function standIn(name: string, refuses?: { args: string; text: string }): void {
  const refusal = refuses ? `case "$*" in "${refuses.args}"*) echo "${refuses.text}" >&2; exit 1;; esac` : "";
  const file = join(folder, "bin", name);
  writeFileSync(file, `#!/bin/sh\necho "$*" >>"${join(folder, name)}.log"\n${refusal}\n`);
  chmodSync(file, 0o755);
}

function run(
  script: string,
  args: string[],
  env: Record<string, string> = {},
): { code: number | null; output: string } {
  const result = spawnSync("bash", [join(root, ".github", script), ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { PATH: [join(folder, "bin"), process.env["PATH"] ?? ""].join(delimiter), ...env },
    timeout: 20_000,
  });
  return { code: result.status, output: `${result.stdout}${result.stderr}` };
}

function calls(name: string): string[] {
  const file = join(folder, `${name}.log`);
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
}

describe("pin-image.sh", () => {
  it("pins an image by digest", () => {
    standIn("pulumi");
    expect(run("pin-image.sh", ["acme/prod", DIGEST])).toEqual({ code: 0, output: "" });
    expect(calls("pulumi")).toEqual([
      "config set --stack acme/prod --path agent-factory:image.builder prebuilt",
      `config set --stack acme/prod --path agent-factory:image.image ${DIGEST}`,
    ]);
  });

  it.each(["registry.fly.io/af-staging:latest", "", `${DIGEST}0`])("refuses '%s'", (image) => {
    standIn("pulumi");
    expect(run("pin-image.sh", ["acme/prod", image]).code).not.toBe(0);
    expect(calls("pulumi")).toEqual([]);
  });
});

describe("destroy-preview.sh", () => {
  it("destroys before it forgets", () => {
    standIn("pulumi");
    expect(run("destroy-preview.sh", ["acme/pr-12"]).code).toBe(0);
    expect(calls("pulumi").map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "stack select",
      "destroy --stack",
      "stack rm",
    ]);
  });

  it("is content when the stack is gone already", () => {
    standIn("pulumi", { args: "stack select", text: "error: no stack named 'acme/pr-12' found" });
    expect(run("destroy-preview.sh", ["acme/pr-12"])).toEqual({
      code: 0,
      output: "acme/pr-12: there is none\n",
    });
  });

  it("fails when it cannot tell whether the stack is there", () => {
    standIn("pulumi", { args: "stack select", text: "error: PULUMI_ACCESS_TOKEN must be set" });
    const result = run("destroy-preview.sh", ["acme/pr-12"]);
    expect(result.code).toBe(1);
    expect(result.output).toContain("PULUMI_ACCESS_TOKEN must be set");
    expect(calls("pulumi")).toHaveLength(1);
  });

  it("does not forget what it could not destroy", () => {
    standIn("pulumi", { args: "destroy", text: "error: Fly did not answer" });
    expect(run("destroy-preview.sh", ["acme/pr-12"]).code).not.toBe(0);
    expect(calls("pulumi").some((line) => line.startsWith("stack rm"))).toBe(false);
  });

  it.each(["acme/prod", "acme/staging", "acme/pr-", "pr-12x"])("refuses '%s'", (stack) => {
    standIn("pulumi");
    expect(run("destroy-preview.sh", [stack]).code).toBe(1);
    expect(calls("pulumi")).toEqual([]);
  });
});

/** A program that notes its arguments and runs `body`. */
function program(name: string, body: string): void {
  const file = join(folder, "bin", name);
  writeFileSync(file, `#!/bin/sh\necho "$*" >>"${join(folder, name)}.log"\n${body}\n`);
  chmodSync(file, 0o755);
}

describe("copy-image.sh", () => {
  const copy = (image: string): { code: number | null; output: string } =>
    run("copy-image.sh", ["acme/prod", image], { FLY_API_TOKEN: "FlyV1 fm2_secret" });

  it("copies into the repository of the stack's own app by digest, the token never an argument", () => {
    program("pulumi", `echo '{"flyAppName":"af-prod"}'`);
    program("go", `case "$*" in *--password-stdin) cat >"${join(folder, "password")}";; esac`);
    expect(copy(DIGEST)).toEqual({
      code: 0,
      output: `registry.fly.io/af-prod@sha256:${"a".repeat(64)}\n`,
    });
    const crane = "run github.com/google/go-containerregistry/cmd/crane@v0.22.1";
    expect(calls("go")).toEqual([
      `${crane} auth login registry.fly.io -u x --password-stdin`,
      `${crane} copy ${DIGEST} registry.fly.io/af-prod:promoted-aaaaaaaaaaaa`,
    ]);
    expect(readFileSync(join(folder, "password"), "utf8")).toBe("fm2_secret");
  });

  it("copies nothing for a stack without an app, and nothing that is there", () => {
    standIn("go");
    program("pulumi", "echo '{}'");
    expect(copy(DIGEST).output).toContain(`the image in place\n`);
    expect(copy(DIGEST).output).toContain(`${DIGEST}\n`);
    program("pulumi", `echo '{"flyAppName":"af-staging"}'`);
    expect(copy(DIGEST)).toEqual({ code: 0, output: `${DIGEST}\n` });
    expect(calls("go")).toEqual([]);
  });

  it("fails, and names nothing to pin, when the stack cannot be read or the copy is refused", () => {
    program("pulumi", "echo 'error: no login' >&2; exit 1");
    standIn("go");
    expect(copy(DIGEST)).toEqual({ code: 1, output: "error: no login\n" });
    program("pulumi", `echo '{"flyAppName":"af-prod"}'`);
    program("go", "echo denied >&2; exit 1");
    expect(copy(DIGEST)).toEqual({ code: 1, output: "denied\n" });
  });

  it("refuses what is no image by digest", () => {
    standIn("pulumi");
    expect(copy("registry.fly.io/af-staging:latest").code).toBe(1);
    expect(calls("pulumi")).toEqual([]);
  });
});

describe("take-skills.sh", () => {
  const skills = join("runtime", "worker", "skills");
  const write = (path: string, text = "x"): void => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const read = (path: string): string => readFileSync(join(folder, path), "utf8");

  beforeEach(() => {
    write(join(skills, "weather", "SKILL.md"), "ours");
    write(join(skills, "weather", "old.md"), "ours");
    write(join(skills, "notes", "SKILL.md"), "ours");
  });

  it("takes every skill in, replaces one of the same name whole, and leaves the others", () => {
    write("caller/weather/SKILL.md", "theirs");
    write("caller/route/SKILL.md", "theirs");
    write("caller/route/more/data.json", "{}");
    write("caller/README.md");
    expect(run("take-skills.sh", ["caller"])).toEqual({
      code: 0,
      output: "2 skill(s) taken in: route weather\n",
    });
    expect(read(join(skills, "weather", "SKILL.md"))).toBe("theirs");
    expect(existsSync(join(folder, skills, "weather", "old.md"))).toBe(false);
    expect(read(join(skills, "route", "more", "data.json"))).toBe("{}");
    expect(read(join(skills, "notes", "SKILL.md"))).toBe("ours");
  });

  it("takes none when one of them is no skill, when there is none, and when the folder is not there", () => {
    write("caller/route/SKILL.md");
    write("caller/unfinished/notes.md");
    expect(run("take-skills.sh", ["caller"])).toEqual({
      code: 1,
      output: "::error::caller/unfinished has no SKILL.md\n",
    });
    mkdirSync(join(folder, "empty"));
    expect(run("take-skills.sh", ["empty"]).output).toBe("::error::empty holds no skill\n");
    expect(run("take-skills.sh", ["nowhere"]).output).toBe("::error::there is no folder nowhere\n");
    expect(existsSync(join(folder, skills, "route"))).toBe(false);
  });
});

describe("sweep-previews.sh", () => {
  const STACKS = [{ name: "acme/pr-1" }, { name: "pr-2" }, { name: "acme/pr-3" }, { name: "acme/prod" }];
  const sweep = (): { code: number | null; output: string } => run("sweep-previews.sh", ["acme"]);

  beforeEach(() => {
    program("pulumi", `case "$*" in "stack ls"*) echo '${JSON.stringify(STACKS)}';; esac`);
  });
  const destroyed = (): string[] =>
    calls("pulumi")
      .filter((line) => line.startsWith("destroy"))
      .map((line) => line.split(" ")[2] ?? "");

  it("destroys what no open request with the label wants, and nothing else", () => {
    program("gh", `case "$3" in 1) echo yes;; esac`);
    expect(sweep().code).toBe(0);
    expect(destroyed()).toEqual(["acme/pr-2", "acme/pr-3"]);
    expect(calls("gh").map((line) => line.split(" ")[2])).toEqual(["1", "2", "3"]);
  });

  it("leaves an environment alone of which GitHub does not tell, goes on with the others, and fails", () => {
    program("gh", `case "$3" in 2) echo "HTTP 502" >&2; exit 1;; esac`);
    const result = sweep();
    expect(result.code).toBe(1);
    expect(result.output).toContain("::error::acme/pr-2: GitHub does not say whether it is wanted");
    expect(destroyed()).toEqual(["acme/pr-1", "acme/pr-3"]);
  });

  it("destroys nothing when it cannot list the stacks", () => {
    program("pulumi", "echo 'error: no login' >&2; exit 1");
    standIn("gh");
    expect(sweep()).toEqual({ code: 1, output: "error: no login\n" });
    expect(calls("gh")).toEqual([]);
  });
});

describe("smoke.sh", () => {
  const commands = (): string[] =>
    calls("node").map((line) => line.replace("cli/main.ts --stack acme/staging ", ""));

  it("waits for the rollout, asks doctor, then sends a turn through the webhook to the smoke chat", () => {
    standIn("node");
    expect(run("smoke.sh", ["acme/staging"], { SMOKE_CHAT_ID: "42", ROLLOUT_WAIT: "5m" }).code).toBe(0);
    expect(commands()).toEqual([
      "rollouts status --wait 5m",
      "doctor",
      "smoke --through webhook --chat 42 --timeout 10m",
    ]);
  });

  it("enqueues the turn without a smoke chat, and leaves the webhook out where there is no bot", () => {
    standIn("node");
    run("smoke.sh", ["acme/staging"]);
    run("smoke.sh", ["acme/staging"], { SMOKE_WITHOUT_BOT: "true" });
    expect(commands().filter((line) => line.startsWith("smoke"))).toEqual([
      "smoke --timeout 10m",
      "smoke --no-webhook-check --timeout 10m",
    ]);
  });

  it.each(["rollouts", "doctor", "smoke"])("fails when %s fails, and goes no further", (step) => {
    standIn("node", { args: `cli/main.ts --stack acme/staging ${step}`, text: "no" });
    expect(run("smoke.sh", ["acme/staging"]).code).not.toBe(0);
    expect(calls("node").at(-1)).toContain(step);
  });
});

describe("base-image.sh", () => {
  const OLD = `sha256:${"b".repeat(64)}`;
  const NEW = `sha256:${"c".repeat(64)}`;
  const INDEX = "application/vnd.oci.image.index.v1+json";

  /** A registry whose tag has `digest` now, and whose pinned base is of that type. */
  function registry(digest: string, mediaType = INDEX): void {
    const answer = JSON.stringify({ mediaType, digest });
    const file = join(folder, "bin/docker");
    writeFileSync(file, `#!/bin/sh\necho "$*" >>"${join(folder, "docker.log")}"\necho '${answer}'\n`);
    chmodSync(file, 0o755);
  }
  function look(base: string): { code: number | null; output: string } {
    writeFileSync(
      join(folder, "Dockerfile"),
      `ARG NODE_IMAGE=${base}\nFROM \${NODE_IMAGE}\nARG NODE_IMAGE\n`,
    );
    return run("base-image.sh", ["Dockerfile"]);
  }

  it("asks for the pinned base and for its tag, and says that they are one", () => {
    registry(OLD);
    expect(look(`node:24-slim@${OLD}`)).toEqual({ code: 0, output: `node:24-slim is ${OLD}\n` });
    expect(calls("docker")).toEqual(
      [`node:24-slim@${OLD}`, "node:24-slim"].map(
        (base) => `buildx imagetools inspect ${base} --format {{json .Manifest}}`,
      ),
    );
  });

  it("tells of a tag that was built anew, and fails nothing", () => {
    registry(NEW);
    const { code, output } = look(`node:24-slim@${OLD}`);
    expect(code).toBe(0);
    expect(output).toContain(
      `::warning file=Dockerfile::node:24-slim has been built anew: ${NEW} instead of ${OLD}`,
    );
  });

  it("fails for a base without a digest, for one platform's digest and for a digest that is not there", () => {
    registry(OLD, "application/vnd.oci.image.manifest.v1+json");
    expect(look("node:24-slim").output).toContain("'node:24-slim', not <tag>@sha256:<digest>");
    const platform = look(`node:24-slim@${OLD}`);
    expect(platform.code).toBe(1);
    expect(platform.output).toContain("not an index of platforms");
    standIn("docker", { args: "buildx imagetools inspect", text: "not found" });
    expect(look(`node:24-slim@${OLD}`)).toEqual({ code: 1, output: "not found\n" });
  });

  it("accepts the form in which the worker's image names its own", () => {
    registry(NEW);
    expect(run("base-image.sh", [join(root, "runtime/worker/Dockerfile")]).code).toBe(0);
  });
});
