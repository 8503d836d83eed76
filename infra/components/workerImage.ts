/** The worker image, built when its context changes and named by digest. */
import * as childProcess from "node:child_process";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import { nodePath } from "./convexBackend.ts";

export interface WorkerImageArgs {
  root: string;
  image: StackConfig["image"];
  registryUrl: string;
  appName: pulumi.Input<string>;
  /** Fly's id of the app: an app made anew under the same name has an empty repository. */
  appId: pulumi.Input<string>;
}

/** Hash of everything that decides the image; the worker's own build knows what that is. */
function contextHash(root: string): string {
  const run = childProcess.spawnSync(nodePath(root), ["runtime/worker/image/buildTree.ts", "--print-hash"], {
    cwd: root,
    encoding: "utf8",
    timeout: 60_000,
  });
  const hash = run.stdout?.trim() ?? "";
  if (run.status !== 0 || !/^[0-9a-f]{64}$/.test(hash)) {
    throw new Error(
      `The worker image's context cannot be hashed: ${run.stderr || run.error?.message || "no output"}. Run \`npm ci\` in the project's root.`,
    );
  }
  return hash;
}

export class WorkerImage extends pulumi.ComponentResource {
  /** `<registry>/<app>@sha256:…`. */
  readonly image: pulumi.Output<string>;

  constructor(name: string, args: WorkerImageArgs, options?: pulumi.ComponentResourceOptions) {
    super("agent-factory:index:WorkerImage", name, {}, options);
    if (args.image.builder === "prebuilt") {
      this.image = pulumi.output(args.image.image);
    } else {
      const hash = contextHash(args.root);
      const docker = args.image.builder === "docker" ? args.image : null;
      const build = new command.local.Command(
        `${name}-build`,
        {
          create: `"${nodePath(args.root)}" --disable-warning=MODULE_TYPELESS_PACKAGE_JSON infra/image/build.ts`,
          dir: args.root,
          environment: {
            IMAGE_BUILDER: args.image.builder,
            IMAGE_APP: args.appName,
            IMAGE_TAG: hash,
            IMAGE_REGISTRY_URL: args.registryUrl,
            IMAGE_PLATFORM: docker?.platform ?? "",
            IMAGE_CACHE: docker?.cache ?? "",
          },
          triggers: [
            hash,
            args.appName,
            args.appId,
            args.registryUrl,
            args.image.builder,
            docker?.platform ?? "",
          ],
          logging: "stderr",
        },
        { parent: this },
      );
      this.image = build.stdout.apply((stdout) => stdout.trim());
    }
    this.registerOutputs({ image: this.image });
  }
}
