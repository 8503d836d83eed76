/** WebSocket frames as bytes, for tests that stand where a gateway stands: also those that no honest peer sends. */

export const TEXT = 0x1;
export const BINARY = 0x2;
const FIN = 0x80;
const MASKED = 0x80;

/** A server's frame: complete, and not masked. */
export function encodeFrame(payload: string | Buffer, opcode: number = TEXT): Buffer {
  const body = Buffer.from(payload);
  return Buffer.concat([frameHead(body.length, opcode), body]);
}

/** The head of a frame of `length` bytes, whether they follow or not. */
export function frameHead(length: number, opcode: number = TEXT): Buffer {
  if (length < 126) return Buffer.from([FIN | opcode, length]);
  if (length < 65_536) {
    const head = Buffer.from([FIN | opcode, 126, 0, 0]);
    head.writeUInt16BE(length, 2);
    return head;
  }
  const head = Buffer.alloc(10);
  head[0] = FIN | opcode;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

export interface ReceivedFrame {
  opcode: number;
  payload: Buffer;
  /** As it came. */
  raw: Buffer;
}

/** Cuts a stream of either side into frames. Fragments stay what they are: frames of their own. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** @returns the frames that `data` completes. */
  read(data: Buffer): ReceivedFrame[] {
    this.#rest = Buffer.concat([this.#rest, data]);
    const frames: ReceivedFrame[] = [];
    for (let frame = this.#next(); frame !== null; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): ReceivedFrame | null {
    const [first = 0, second = 0] = this.#rest;
    if (this.#rest.length < 2) return null;
    const short = second & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    const maskAt = 2 + extended;
    const bodyAt = maskAt + ((second & MASKED) === 0 ? 0 : 4);
    if (this.#rest.length < bodyAt) return null;
    const length =
      extended === 0
        ? short
        : extended === 2
          ? this.#rest.readUInt16BE(2)
          : Number(this.#rest.readBigUInt64BE(2));
    if (this.#rest.length < bodyAt + length) return null;
    const raw = this.#rest.subarray(0, bodyAt + length);
    this.#rest = this.#rest.subarray(bodyAt + length);
    const payload = Buffer.from(raw.subarray(bodyAt));
    const mask = raw.subarray(maskAt, bodyAt);
    if (mask.length === 4)
      for (let index = 0; index < payload.length; index += 1)
        payload[index] = (payload[index] ?? 0) ^ (mask[index % 4] ?? 0);
    return { opcode: first & 0x0f, payload, raw };
  }
}
