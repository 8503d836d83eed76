/** Where the deployment of a Pulumi stack is, from the stack's outputs. */
import { spawn } from "node:child_process";
import * as z from "zod";
import { pulumi } from "../../setup/pulumi.mjs";
import { notFound, usageError } from "../errors.ts";
import type { Io } from "../io.ts";

const outputsSchema = z.looseObject({ convexUrl: z.url(), convexSiteUrl: z.url() });

export async function accessOfStack(stack: string, io: Io): Promise<{ url: string; siteUrl: string }> {
  const outputs = outputsSchema.safeParse(await io.stackOutputs(stack));
  if (!outputs.success) {
    throw usageError(
      `Stack '${stack}' has no outputs convexUrl and convexSiteUrl: it has never been deployed.`,
      `pulumi up --stack ${stack}`,
    );
  }
  const { convexUrl, convexSiteUrl } = outputs.data;
  return { url: convexUrl.replace(/\/+$/, ""), siteUrl: convexSiteUrl.replace(/\/+$/, "") };
}

const TIMEOUT_MS = 60_000;
/** Outputs are a handful of URLs; more than this is not ours. */
const OUTPUT_CHARS_MAX = 1_000_000;

/** `pulumi stack output --json` of one stack. Secret outputs stay masked. */
export async function readStackOutputs(stack: string, root: string): Promise<Record<string, unknown>> {
  if (!/^[A-Za-z0-9._/-]{1,120}$/.test(stack)) throw usageError(`--stack '${stack}' is no name of a stack.`);
  const engine = findEngine();
  const child = spawn(engine.command, ["stack", "output", "--json", "--stack", stack, "--non-interactive"], {
    cwd: root,
    env: engine.env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIMEOUT_MS,
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (stdout.length < OUTPUT_CHARS_MAX) stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    if (stderr.length < OUTPUT_CHARS_MAX) stderr += chunk.toString("utf8");
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve(status ?? 1));
  });
  if (code !== 0) {
    const text = stderr.trim().replace(/^error: /, "") || `pulumi stack output ended with ${code}`;
    if (/no stack named/i.test(text)) throw notFound(text, "List them with: pulumi stack ls");
    throw usageError(text, "Log in to the state's backend with `pulumi login`, then repeat the command.");
  }
  return z.record(z.string(), z.unknown()).parse(JSON.parse(stdout));
}

function findEngine(): { command: string; env: Record<string, string | undefined> } {
  try {
    return pulumi();
  } catch (error) {
    throw usageError(error instanceof Error ? error.message : String(error));
  }
}
