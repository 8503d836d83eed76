/**
 * A process in the gateway's place, as `<openclawDir>/openclaw.mjs`: it boots in an instant, speaks the part of the
 * protocol that the worker uses, remembers what its sessions said, and misbehaves when it is told to. It is told by a
 * file, since the worker hands its gateway nothing else.
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { encodeFrame, FrameReader } from "./socketFrames.ts";

/** What happens at a place instead of what should. */
export interface Fault {
  /** `greeting`, a method, `midTurn` (between a run's two answers), or the path of a probe. */
  at: string;
  /** Bytes, base64. */
  writes?: string;
  /** Bytes that mean nothing, after those, how many. */
  fills?: number;
  /** The payload of the answer. */
  payload?: unknown;
  /** A whole frame; the request's id stands where it says `<id>`. */
  frame?: unknown;
  /** What follows: the right answer, silence on the whole socket, its end, or the process's. By default only this answer is missing. */
  next?: "goOn" | "mute" | "hangUp" | "exit";
  /** How often, 1 by default. Another gateway may meet the rest. */
  times?: number;
}

/** Beside `openclaw.mjs`: the fault that is due. */
export const FAULT_FILE = "fault.json";

/** Writes the stand-in's folder. @returns what makes the gateway of that folder misbehave; null ends it. */
export async function prepareStandIn(openclawDir: string): Promise<(fault: Fault | null) => void> {
  await mkdir(openclawDir, { recursive: true });
  const faultFile = join(openclawDir, FAULT_FILE);
  const main = new URL("standInMain.ts", import.meta.url);
  await writeFile(join(openclawDir, "openclaw.mjs"), `import ${JSON.stringify(main.href)};\n`);
  const tell = (fault: Fault | null): void => {
    // In one step: the gateway looks at it all the time.
    writeFileSync(`${faultFile}.new`, JSON.stringify(fault));
    renameSync(`${faultFile}.new`, faultFile);
  };
  tell(null);
  return tell;
}

export function runStandIn(port: number, faultFile: string): void {
  // As the real one: it ends with its worker.
  process.stdin.on("end", () => process.exit(0)).resume();
  const transcripts = new Map<unknown, unknown[]>();
  const server = createServer((request, response) => answerProbe(request, response, faultFile));
  server.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
    new Connection(socket, faultFile, transcripts).greet(request);
  });
  server.listen(port, "127.0.0.1");
}

/** The fault of this place, if it is due. */
function due(place: string, faultFile: string): Fault | null {
  const fault = JSON.parse(readFileSync(faultFile, "utf8")) as Fault | null;
  if (fault?.at !== place) return null;
  const times = (fault.times ?? 1) - 1;
  writeFileSync(faultFile, JSON.stringify(times === 0 ? null : { ...fault, times }));
  return fault;
}

function answerProbe(request: IncomingMessage, response: ServerResponse, faultFile: string): void {
  const fault = due(request.url ?? "", faultFile);
  if (fault === null) response.end('{"ok":true}');
  if (fault?.writes !== undefined) request.socket.write(Buffer.from(fault.writes, "base64"));
  if (fault?.next === "hangUp") request.socket.destroy();
}

interface Request {
  id: string;
  method: string;
  params: Record<string, unknown>;
}

class Connection {
  readonly #socket: Duplex;
  readonly #faultFile: string;
  /** Messages by session key. */
  readonly #transcripts: Map<unknown, unknown[]>;
  readonly #reader = new FrameReader();
  #mute = false;

  constructor(socket: Duplex, faultFile: string, transcripts: Map<unknown, unknown[]>) {
    this.#socket = socket;
    this.#faultFile = faultFile;
    this.#transcripts = transcripts;
    socket.on("error", () => socket.destroy());
  }

  greet(request: IncomingMessage): void {
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    this.#socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    this.#socket.on("data", (data: Buffer) => {
      for (const { payload } of this.#reader.read(data)) this.#receive(String(payload));
    });
    this.#at("greeting", "", () => this.#send({ type: "event", event: "connect.challenge", payload: {} }));
  }

  #receive(text: string): void {
    let request: Request;
    try {
      request = JSON.parse(text) as Request;
    } catch {
      return; // The goodbye of a client that leaves.
    }
    if (request.method === "agent") return this.#run(request);
    this.#at(request.method, request.id, () => this.#answer(request.id, this.#carryOut(request)));
  }

  #carryOut({ method, params }: Request): unknown {
    const key = params["sessionKey"] ?? params["key"];
    const transcript = this.#transcripts.get(key) ?? [];
    switch (method) {
      case "connect":
        return { type: "hello-ok", protocol: 4 };
      case "sessions.create":
        this.#transcripts.set(key, []);
        return { sessionId: "one" };
      case "bridge.transcript.import":
        transcript.push(...(params["messages"] as unknown[]));
        return { count: (params["messages"] as unknown[]).length };
      case "bridge.transcript.export":
        return { messages: transcript.slice(params["after"] as number), more: false };
      default:
        return {};
    }
  }

  #run({ id, params }: Request): void {
    const transcript = this.#transcripts.get(params["sessionKey"]) ?? [];
    const runId = params["idempotencyKey"];
    transcript.push({ role: "user", content: params["message"] });
    this.#answer(id, { status: "accepted", runId });
    setTimeout(() => {
      this.#at("midTurn", id, () =>
        this.#at("agent", id, () => {
          const known = transcript.filter((message) => (message as { role: string }).role === "user").length;
          const text = `I know ${known} of your messages`;
          transcript.push({ role: "assistant", content: text });
          this.#answer(id, { status: "ok", runId, result: { payloads: [{ text }], meta: {} } });
        }),
      );
    }, 20);
  }

  #at(place: string, id: string, goOn: () => void): void {
    if (this.#mute) return;
    const fault = due(place, this.#faultFile);
    if (fault === null) return goOn();
    if (fault.writes !== undefined) this.#socket.write(Buffer.from(fault.writes, "base64"));
    if (fault.fills !== undefined) this.#socket.write(Buffer.alloc(fault.fills, "x"));
    if ("payload" in fault) this.#answer(id, fault.payload);
    if ("frame" in fault) this.#socket.write(encodeFrame(JSON.stringify(fault.frame).replace("<id>", id)));
    switch (fault.next) {
      case undefined:
        return;
      case "goOn":
        return goOn();
      case "mute":
        this.#mute = true;
        return;
      case "hangUp":
        this.#socket.destroy();
        return;
      case "exit":
        process.exit(1);
    }
  }

  #answer(id: string, payload: unknown): void {
    this.#send({ type: "res", id, ok: true, payload });
  }

  #send(frame: unknown): void {
    if (!this.#mute) this.#socket.write(encodeFrame(JSON.stringify(frame)));
  }
}
