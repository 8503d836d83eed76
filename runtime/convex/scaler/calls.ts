/** The provider calls themselves. Their results are data: nothing here touches the database. */
import { ProviderError } from "../machines/providerError.ts";
import type { MachineProvider, ObservedMachine } from "../machines/provider.ts";
import { isOver, readMachineState } from "../policy/machineStates.ts";
import type { Failure, Instruction, Outcome } from "./shapes.ts";
import { clipText } from "../policy/clipText.ts";

type CreateInstruction = Extract<Instruction, { kind: "create" }>;
type MachineInstruction = Extract<Instruction, { kind: "machine" }>;

/** A provider's error as data; anything else is a defect and goes on being thrown. */
export function toFailure(error: unknown): Failure {
  if (!(error instanceof ProviderError)) throw error;
  const retryAfterMs = error.failure.kind === "rate_limited" ? error.failure.retryAfterMs : null;
  return { kind: error.failure.kind, message: clipText(error.message, 1_000), retryAfterMs };
}

/** `w-…` as a volume's name: Fly allows lower-case letters, digits and underscores. */
export function volumeName(workerId: string): string {
  return workerId.replaceAll("-", "_");
}

/** The volume of a worker: an earlier attempt may have made it already. */
async function ensureVolume(
  provider: MachineProvider,
  create: CreateInstruction,
  region: string,
  sizeGb: number,
): Promise<string> {
  const name = volumeName(create.name);
  const existing = (await provider.volumes.list()).find(
    (volume) =>
      volume.name === name &&
      volume.region === region &&
      volume.attachedMachineId === null &&
      volume.state === "created",
  );
  if (existing !== undefined) return existing.volumeId;
  return (await provider.volumes.create({ name, region, sizeGb, guest: create.guest })).volumeId;
}

/** The machine that already bears the name, if it was made for the same worker. */
async function adopt(
  provider: MachineProvider,
  create: CreateInstruction,
  machineId: string | null,
): Promise<ObservedMachine | null> {
  const machine =
    machineId === null
      ? (await provider.list()).find((candidate) => candidate.name === create.name)
      : await provider.get(machineId);
  return machine !== undefined && machine.workerId === create.name ? machine : null;
}

/**
 * Creates a worker's machine, walking the regions while each refuses for want of room. A name that is taken is
 * the trace of an earlier attempt whose answer was lost: that machine is adopted.
 */
export async function createMachine(provider: MachineProvider, create: CreateInstruction): Promise<Outcome> {
  const regionsWithoutRoom: string[] = [];
  let volumeId: string | null = null;
  let last: Failure = { kind: "no_capacity", message: "no region is configured", retryAfterMs: null };
  for (const region of create.regions) {
    try {
      if (create.volumeSizeGb !== null)
        volumeId = await ensureVolume(provider, create, region, create.volumeSizeGb);
      const { name, image, env, metadata, guest, killTimeoutMs, minSecretsVersion } = create;
      const machine = await provider.create({
        name,
        region,
        image,
        env,
        metadata,
        guest,
        killTimeoutMs,
        volumeId,
        minSecretsVersion,
      });
      return { ok: true, machine, regionsWithoutRoom, ...(volumeId === null ? {} : { volumeId }) };
    } catch (error) {
      last = toFailure(error);
      if (error instanceof ProviderError && error.failure.kind === "name_taken") {
        return await adoptOrFail(provider, create, error.failure.machineId, last, regionsWithoutRoom);
      }
      // Pinned to a region that refused the machine, the volume is of no use to the next one. After an unknown
      // answer it may be in use: it stays, and a repeated create finds it by its name.
      if (volumeId !== null && last.kind !== "unknown") {
        await dropVolume(provider, volumeId);
        volumeId = null;
      }
      if (last.kind !== "no_capacity") break;
      regionsWithoutRoom.push(region);
    }
  }
  return { ok: false, failure: last, regionsWithoutRoom, ...(volumeId === null ? {} : { volumeId }) };
}

async function adoptOrFail(
  provider: MachineProvider,
  create: CreateInstruction,
  machineId: string | null,
  failure: Failure,
  regionsWithoutRoom: string[],
): Promise<Outcome> {
  try {
    const machine = await adopt(provider, create, machineId);
    if (machine !== null) return { ok: true, machine, regionsWithoutRoom };
    return { ok: false, failure, regionsWithoutRoom };
  } catch (error) {
    // Whether it is ours is not known: that is for the next listing to say.
    return { ok: false, failure: { ...toFailure(error), kind: "unknown" }, regionsWithoutRoom };
  }
}

/** Best effort: what stays behind is found by the nightly cleanup, by its name. */
async function dropVolume(provider: MachineProvider, volumeId: string): Promise<void> {
  try {
    await provider.volumes.delete(volumeId);
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
  }
}

/** A machine that is proven gone leaves its volume behind: that goes with it, before the row says so. */
async function lookAt(
  provider: MachineProvider,
  machineId: string,
  volumeId: string | null,
): Promise<ObservedMachine> {
  try {
    const machine = await provider.get(machineId);
    if (volumeId !== null && isOver(readMachineState(machine.state))) await provider.volumes.delete(volumeId);
    return machine;
  } catch (error) {
    const gone = error instanceof ProviderError && error.failure.kind === "not_found";
    if (gone && volumeId !== null) await provider.volumes.delete(volumeId);
    throw error;
  }
}

/** One call about a machine that exists. */
export async function callMachine(
  provider: MachineProvider,
  instruction: MachineInstruction,
): Promise<Outcome> {
  const { op, machineId, timeoutMs } = instruction;
  const done = (machine: ObservedMachine | null): Outcome => ({ ok: true, machine, regionsWithoutRoom: [] });
  try {
    switch (op) {
      case "start":
        await provider.start(machineId);
        return done(null);
      case "suspend":
        await provider.suspend(machineId);
        return done(null);
      case "stop":
        await provider.stop(machineId, timeoutMs);
        return done(null);
      case "destroy":
        await provider.destroy(machineId);
        return done(null);
      case "verify":
        return done(await lookAt(provider, machineId, instruction.volumeId));
      case "create":
        throw new Error("a create carries its own instruction");
    }
  } catch (error) {
    return { ok: false, failure: toFailure(error), regionsWithoutRoom: [] };
  }
}
