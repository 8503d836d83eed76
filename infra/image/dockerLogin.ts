/**
 * A login for one build. `docker login` would leave the token in the person's own configuration, so docker is
 * given a configuration folder of its own that is removed afterwards; plugins, contexts and builders of the
 * person's folder are linked into it.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** What docker and buildx keep beside their config.json. */
const LINKED = ["cli-plugins", "contexts", "buildx"];
/** Settings that decide where and how docker builds; credential stores are left out, they would hide our login. */
const KEPT = ["currentContext", "cliPluginsExtraDirs", "proxies", "HttpHeaders"];

/** The config.json of a build: the person's settings and logins, and ours. Pure. */
export function dockerConfig(own: Record<string, unknown>, host: string, password: string): object {
  const kept = Object.fromEntries(KEPT.filter((key) => key in own).map((key) => [key, own[key]]));
  const auths = (own["auths"] ?? {}) as Record<string, unknown>;
  const auth = Buffer.from(`x:${password}`).toString("base64");
  return { ...kept, auths: { ...auths, [host]: { auth } } };
}

/** Runs `work` with the variables that make docker logged in to `host`; the login ends with it. */
export async function withDockerLogin<T>(
  host: string,
  token: string,
  work: (environment: Record<string, string>) => Promise<T>,
): Promise<T> {
  const own = process.env["DOCKER_CONFIG"] ?? join(homedir(), ".docker");
  const file = join(own, "config.json");
  const settings = existsSync(file)
    ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>)
    : {};
  const folder = mkdtempSync(join(tmpdir(), "agent-factory-docker-"));
  try {
    const config = dockerConfig(settings, host, token.replace(/^(FlyV1|Bearer) /, ""));
    writeFileSync(join(folder, "config.json"), JSON.stringify(config), { mode: 0o600 });
    for (const name of LINKED) {
      if (existsSync(join(own, name))) symlinkSync(join(own, name), join(folder, name));
    }
    return await work({ DOCKER_CONFIG: folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
