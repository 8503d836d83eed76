import type { Command } from "commander";
import { renderUnicodeCompact } from "uqr";
import { notFound } from "../errors.ts";
import type { Io } from "../io.ts";
import { ago, parseDuration, when } from "../output/time.ts";
import { action } from "./session.ts";

/** A phone cannot open the local environment's bot, which only looks like Telegram's. */
function linkLines(deepLink: string | null, local: boolean): string[] {
  if (local)
    return ["", "The local bot is in no phone: `npm run chat`, and send it what stands at `By hand`."];
  return deepLink === null ? [] : ["", renderUnicodeCompact(deepLink)];
}

export function addPairing(program: Command, io: Io): void {
  const pairing = program
    .command("pairing")
    .description("one-time codes that bind a person's Telegram to an agent");

  pairing
    .command("create")
    .description("make a code; prints the deep link and its QR code")
    .argument("<userId>", "the person's id in your own application")
    .option("--agent <agentKey>", "whom they will talk to", "default")
    .option("--company <companyId>", "the person's company, when your application has several")
    .option("--ttl <duration>", "how long the code can be used, 1m to 24h", "15m")
    .action(
      action(
        io,
        async (
          { backend, out, actor, target },
          consumerUserId: string,
          options: { agent: string; company?: string; ttl: string },
        ) => {
          const created = await backend.run("createPairingCode", {
            consumerUserId,
            agentKey: options.agent,
            ttlMs: parseDuration("--ttl", options.ttl, ["1m", "24h"]),
            actor,
            ...(options.company === undefined ? {} : { companyId: options.company }),
          });
          out.result(created, () => [
            `Code      ${created.code}`,
            `Link      ${created.deepLink ?? "none yet: no bot's webhook is configured"}`,
            `Usable    until ${when(created.expiresAt)} (${ago(created.expiresAt, io.now())}), once`,
            `By hand   /start ${created.code}`,
            ...linkLines(created.deepLink, target.adminKeyFile !== null),
          ]);
        },
      ),
    );

  pairing
    .command("status")
    .description("what a code reads as now")
    .argument("<code>")
    .option("--company <companyId>", "answer only for a code of this company")
    .action(
      action(io, async ({ backend, out }, code: string, options: { company?: string }) => {
        const status = await backend.run("getPairingCodeStatus", {
          code,
          ...(options.company === undefined ? {} : { companyId: options.company }),
        });
        if (status === null) {
          throw notFound(
            "Pairing code not found",
            "Make one with: npm run factory -- pairing create <userId>",
          );
        }
        out.result(status, () => [
          `${status.status}: person ${status.consumerUserId}, agent ${status.agentKey}, ` +
            (status.usedAt === null
              ? `usable until ${when(status.expiresAt)}`
              : `used ${ago(status.usedAt, io.now())}`),
        ]);
      }),
    );
}
