/** Old images are deleted once the new one has been rolled out. */
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import type { ConvexAccess } from "../platform/convexApi.ts";
import { nodePath } from "./convexBackend.ts";

export interface ImagePruningArgs {
  root: string;
  fly: StackConfig["fly"];
  keepRecent: number;
  appName: pulumi.Input<string>;
  image: pulumi.Input<string>;
  convex: pulumi.Input<ConvexAccess>;
}

/** @param options must wait for the runtime config: what was in force before it is the rollback's target. */
export function pruneImagesAfter(
  args: ImagePruningArgs,
  options: pulumi.ComponentResourceOptions,
): pulumi.Resource {
  return new command.local.Command(
    "image-pruning",
    {
      create: `"${nodePath(args.root)}" --disable-warning=MODULE_TYPELESS_PACKAGE_JSON infra/image/prune.ts`,
      dir: args.root,
      environment: {
        IMAGE: args.image,
        IMAGE_APP: args.appName,
        IMAGE_KEEP_RECENT: String(args.keepRecent),
        IMAGE_REGISTRY_URL: args.fly.registryUrl,
        FLY_API_URL: args.fly.apiUrl,
        CONVEX_ACCESS: pulumi.output(args.convex).apply((access) => JSON.stringify(access)),
      },
      triggers: [args.image, args.keepRecent],
      logging: "stderr",
    },
    options,
  );
}
