// Stands in for flyctl and docker: records how it was called, prints what it is told to, and on success pushes an
// image with the credentials that it was given, as the real tools do. Its script lies beside it as <name>.json.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const script = JSON.parse(readFileSync(`${process.argv[1]}.json`, "utf8"));
const args = process.argv.slice(2);
const login = join(process.env.DOCKER_CONFIG ?? "", "config.json");
const dockerConfig = existsSync(login) ? JSON.parse(readFileSync(login, "utf8")) : null;
const stdin = process.stdin.isTTY ? "" : readFileSync(0, "utf8");
writeFileSync(
  script.record,
  JSON.stringify({ args, env: process.env, stdin, cwd: realpathSync(process.cwd()), dockerConfig }),
);
for (const line of script.lines) process.stderr.write(`${line}\n`);
if (script.pushes) {
  /** @param {string} flag */
  const after = (flag) => args[args.indexOf(flag) + 1] ?? "";
  const reference = args.includes("--tag")
    ? after("--tag").slice(after("--tag").indexOf("/") + 1)
    : `${after("--app")}:${after("--image-label")}`;
  const [app, tag] = reference.split(":");
  const authorization = dockerConfig
    ? `Basic ${dockerConfig.auths[new URL(script.registryUrl).host].auth}`
    : `Basic ${Buffer.from(`x:${(process.env.FLY_API_TOKEN ?? "").replace(/^FlyV1 /, "")}`).toString("base64")}`;
  const config = Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", built: tag }));
  const digest = `sha256:${createHash("sha256").update(config).digest("hex")}`;
  const start = await fetch(`${script.registryUrl}/v2/${app}/blobs/uploads/`, {
    method: "POST",
    headers: { authorization },
  });
  const upload = new URL(start.headers.get("location") ?? "", script.registryUrl);
  upload.searchParams.set("digest", digest);
  const headers = { authorization, "content-type": "application/octet-stream" };
  await fetch(upload, { method: "PUT", headers, body: config });
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType: type,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: config.length },
    layers: [],
  };
  const put = await fetch(`${script.registryUrl}/v2/${app}/manifests/${tag}`, {
    method: "PUT",
    headers: { authorization, "content-type": type },
    body: JSON.stringify(manifest),
  });
  if (put.status !== 201) process.stderr.write(`push failed: ${put.status}\n`);
}
process.exitCode = script.exitCode;
