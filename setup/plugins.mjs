import { runChild } from "./child.mjs";
import { cameWithLanguageHost, probe } from "./engine.mjs";
import { say, step } from "./progress.mjs";
import { enginePath, hostedPrograms, isInstalled, pluginVersion } from "./pulumi.mjs";

const pluginHost = "https://get.pulumi.com";
const installTimeoutMs = 3 * 60 * 1_000;

/**
 * Installs Pulumi's plugins where they can be had, and says which stand-ins serve where they cannot.
 * @returns {Promise<string[]>} names of the programs that stand-ins serve
 */
export async function ensurePlugins() {
  const missing = hostedPrograms.filter((program) => program.kind === "resource" && !isInstalled(program));
  // An engine that was downloaded shows that the hosts are open; a built one asks first, to fail fast.
  const reachable =
    missing.length > 0 && (cameWithLanguageHost(enginePath()) || (await probe(pluginHost)) === undefined);
  if (reachable) {
    for (const program of missing) await installPlugin(program.name);
  }
  const standins = hostedPrograms.filter((program) => !isInstalled(program)).map((program) => program.file);
  if (standins.length > 0) {
    say("!", "pulumi plugins", `stand-ins of this repository serve ${standins.join(", ")}`);
    say(" ", "", "Pulumi's own hosts, which give out the real ones, are out of reach. See setup/README.md");
  }
  return standins;
}

/** @param {string} name */
async function installPlugin(name) {
  const version = pluginVersion(name);
  await step("pulumi plugins", `installing ${name} ${version}`, async () => {
    const env = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" };
    const args = ["plugin", "install", "resource", name, version];
    const { code } = await runChild(enginePath(), args, { env, timeoutMs: installTimeoutMs });
    const text = code === 0 ? `${name} ${version}` : `${name} ${version} cannot be had: a stand-in serves`;
    return { text, value: undefined };
  });
}
