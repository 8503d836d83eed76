/** What every command is given, and the one place where its environment, key and output are made. */
import type { Command } from "commander";
import { type Backend, backendAt } from "../backend/client.ts";
import { adminKeyOf } from "../environment/adminKey.ts";
import { findTarget, type Target } from "../environment/target.ts";
import { CliError, Reported, usageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { Output } from "../output/output.ts";

/** Options of every command. */
export interface GlobalOptions {
  json?: boolean;
  stack?: string;
  convexUrl?: string;
  actor?: string;
  yes?: boolean;
}

export interface Plain {
  io: Io;
  out: Output;
  options: GlobalOptions;
}

export interface Session extends Plain {
  target: Target;
  backend: Backend;
  adminKey: string;
  /** Who the audit log names. */
  actor: string;
  /** Asks before what cannot be undone; `--yes` answers. @throws CliError when nobody can be asked. */
  confirm: (question: string) => Promise<void>;
}

type PlainHandler<A extends unknown[]> = (session: Plain, ...args: A) => Promise<void> | void;
type Handler<A extends unknown[]> = (session: Session, ...args: A) => Promise<void>;

/**
 * Adapts a handler to commander, which calls an action with the arguments, the options and the command.
 * `A` is what the command declares: arguments first, then its options.
 */
export function plainAction<A extends unknown[]>(
  io: Io,
  handler: PlainHandler<A>,
): (...all: unknown[]) => Promise<void> {
  return async (...all) => {
    const command = all.at(-1) as Command;
    const options = command.optsWithGlobals<GlobalOptions>();
    const session = { io, out: new Output(io, options.json === true), options };
    try {
      await handler(session, ...(all.slice(0, -1) as A));
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      session.out.failure(error);
      throw new Reported(error.exitCode);
    }
  };
}

/** The same for what talks to a deployment. */
export function action<A extends unknown[]>(
  io: Io,
  handler: Handler<A>,
): (...all: unknown[]) => Promise<void> {
  return plainAction<A>(io, async (plain, ...args) => {
    const target = await findTarget(plain.options, io);
    const key = await adminKeyOf(target, io.env);
    try {
      const session: Session = {
        ...plain,
        target,
        backend: backendAt({ url: target.url, adminKey: key.value }),
        adminKey: key.value,
        actor: plain.options.actor ?? `cli:${io.userName}`,
        confirm: async (question) => {
          if (plain.options.yes === true) return;
          if (io.stdin.isTTY !== true || plain.out.json) {
            throw usageError(`${question} Nobody can be asked here.`, "Repeat the command with --yes.");
          }
          if (!(await io.ask.confirm(`${question} (${target.name})`))) throw usageError("Nothing was done.");
        },
      };
      await handler(session, ...args);
    } finally {
      await key.discard();
    }
  });
}
