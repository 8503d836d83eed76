/** The Fly plane: an app on its own network, its secrets, and the scoped token that the backend scales with. */
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import type { ConvexAccess } from "../platform/convexApi.ts";
import { FlyApp } from "../providers/flyApp.ts";
import { FlySecrets } from "../providers/flySecrets.ts";
import { FlyToken } from "../providers/flyToken.ts";

export interface FlyPlaneArgs {
  fly: StackConfig["fly"];
  appName: pulumi.Input<string>;
  network: pulumi.Input<string>;
  /** Environment variables of every machine that must not be seen: model keys. */
  secrets: pulumi.Input<Record<string, string>>;
  /** The backend that scales in the app. */
  convex: pulumi.Input<ConvexAccess>;
  protect: boolean;
}

/** App and secrets; `issueToken` mints the scoped token once the backend can take it. */
export class FlyPlane extends pulumi.ComponentResource {
  readonly appName: pulumi.Output<string>;
  /** Fly's own id, another one for an app that was made anew under the same name. */
  readonly appId: pulumi.Output<string>;
  /** Version of the secrets that machines must see. */
  readonly secretsVersion: pulumi.Output<number>;
  private readonly secrets: FlySecrets;

  constructor(name: string, args: FlyPlaneArgs, options?: pulumi.ComponentResourceOptions) {
    super("agent-factory:index:FlyPlane", name, {}, options);
    const app = new FlyApp(
      `${name}-app`,
      {
        apiUrl: args.fly.apiUrl,
        name: args.appName,
        organization: args.fly.organization,
        network: args.network,
        adoptUnowned: args.fly.adoptUnowned,
        convex: args.convex,
      },
      { parent: this, protect: args.protect },
    );
    const secrets = new FlySecrets(
      `${name}-secrets`,
      { apiUrl: args.fly.apiUrl, appName: app.name, values: args.secrets },
      // They go with their app.
      { parent: this, deletedWith: app },
    );
    this.secrets = secrets;
    this.appName = app.name;
    this.appId = app.appId;
    this.secretsVersion = secrets.version;
    this.registerOutputs({ appName: this.appName, secretsVersion: this.secretsVersion });
  }

  /** @param ready what must exist before the backend can store the token: its functions and key ring. */
  issueToken(
    fly: StackConfig["fly"],
    tokenName: pulumi.Input<string>,
    convex: pulumi.Input<ConvexAccess>,
    ready: pulumi.Resource[],
  ): FlyToken {
    return new FlyToken(
      "fly-token",
      {
        graphqlUrl: fly.graphqlUrl,
        appName: this.appName,
        tokenName,
        expiryHours: fly.tokenExpiryHours,
        convex,
      },
      // With the secrets behind it the token goes before them: until then its app may have to make a machine.
      { parent: this, dependsOn: [...ready, this.secrets] },
    );
  }
}
