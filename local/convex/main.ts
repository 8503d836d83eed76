import { parseArgs } from "node:util";
import { startConvex } from "./server.ts";

const USAGE =
  "usage: node local/convex/main.ts --state DIR [--cloud-port N] [--site-port N] [--admin-key-file FILE]";

function port(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) {
    throw new Error(`${flag} must be a port number from 0 to 65535, not ${JSON.stringify(text)}.\n${USAGE}`);
  }
  return value;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      state: { type: "string" },
      "cloud-port": { type: "string", default: "0" },
      "site-port": { type: "string", default: "0" },
      "admin-key-file": { type: "string" },
    },
  });
  if (values.state === undefined)
    throw new Error(`--state is missing: the folder for everything durable.\n${USAGE}`);
  const convex = await startConvex({
    state: values.state,
    cloudPort: port("--cloud-port", values["cloud-port"]),
    sitePort: port("--site-port", values["site-port"]),
    ...(values["admin-key-file"] === undefined ? {} : { adminKeyFile: values["admin-key-file"] }),
  });
  const stop = (): void => {
    void convex.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  const { url, siteUrl, adminKeyFile } = convex;
  process.stdout.write(`${JSON.stringify({ ready: true, url, siteUrl, adminKeyFile })}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`convex: ${(error as Error).message}\n`);
  process.exit(1);
}
