/**
 * A consumer app as a process of its own, for tests of the bridge: it acts once per idempotency key and remembers
 * what it did on disk. Arguments: journal file, port (0: any), and optionally `dieAfterActing`: then it acts, writes
 * that down, and ends before it answers. Prints its port.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** One line of the journal: an act, with what was answered to it. */
export interface Act {
  idempotencyKey: string;
  functionKey: string;
  args: unknown;
  result: { actNumber: number };
}

const [journal = "", port = "0", fault] = process.argv.slice(2);

const acts = (): Act[] =>
  existsSync(journal)
    ? readFileSync(journal, "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Act)
    : [];

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += String(chunk)));
  request.on("end", () => {
    const idempotencyKey = String(request.headers["idempotency-key"]);
    const done = acts();
    let act = done.find((known) => known.idempotencyKey === idempotencyKey);
    if (act === undefined) {
      const call = JSON.parse(body) as Pick<Act, "functionKey" | "args">;
      act = { idempotencyKey, ...call, result: { actNumber: done.length + 1 } };
      appendFileSync(journal, `${JSON.stringify(act)}\n`, { flush: true });
      if (fault === "dieAfterActing") process.kill(process.pid, "SIGKILL");
    }
    response.end(JSON.stringify(act.result));
  });
});
server.listen(Number(port), "127.0.0.1", () =>
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`),
);
