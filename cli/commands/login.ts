import type { Command } from "commander";
import { removeLogin, writeLogin } from "../environment/login.ts";
import { findTarget } from "../environment/target.ts";
import { usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { plainAction } from "./session.ts";

export function addLogin(program: Command, io: Io): void {
  program
    .command("login")
    .description("remember the environment that --stack or --convex-url names; stores its URL, never a key")
    .action(
      plainAction(io, async ({ out, options }) => {
        if (options.stack === undefined && options.convexUrl === undefined) {
          throw usageError("Which environment? Give --stack <name> or --convex-url <url>.");
        }
        const { name, url, siteUrl } = await findTarget(options, io);
        const login = { stack: options.stack ?? null, url, siteUrl };
        writeLogin(io.root, login);
        out.result(login, () => [
          `Commands without a flag now operate ${name} (${url}). The key comes from CONVEX_DEPLOY_KEY, CONVEX_TEAM_TOKEN or CONVEX_SELF_HOSTED_ADMIN_KEY.`,
        ]);
      }),
    );

  program
    .command("logout")
    .description("forget it: commands without a flag operate the local environment")
    .action(
      plainAction(io, ({ out }) => {
        const forgotten = removeLogin(io.root);
        out.result({ forgotten }, () => [forgotten ? "Forgotten." : "There was no login."]);
      }),
    );
}
