/**
 * `npm run image:check`: builds the worker's image and runs it as a Fly Machine may: read-only root, /tmp in memory,
 * a volume that is root's. Real backend, Telegram and gateway; only the model is scripted. Linux, docker or podman.
 *
 *   npm run image:check -- [--image REF] [--engine "podman --runtime runc"] [--local-base]
 */
import { parseArgs } from "node:util";
import { buildImage } from "./build.ts";
import { checkContents, checkRefusals } from "./closed.ts";
import { Engine } from "./engine.ts";
import { Report } from "./report.ts";
import { checkService } from "./service.ts";

const { values } = parseArgs({
  options: {
    /** An image that is here already; else it is built. */
    image: { type: "string" },
    /** The engine's command, with options of its own. */
    engine: { type: "string" },
    /** Where the base's registry is out of reach: a base of Debian's and npm's packages. Needs root and debootstrap. */
    "local-base": { type: "boolean", default: false },
  },
});

try {
  const engine = await Engine.find(values.engine);
  const image = values.image ?? (await buildImage(engine, values["local-base"]));
  const report = new Report();
  await checkContents(engine, image, report);
  await checkRefusals(engine, image, report);
  await checkService(engine, image, report);
  process.exitCode = report.close();
} catch (error) {
  console.error(`image:check: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
