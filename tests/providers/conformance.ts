/** What every MachineProvider must do. Run against Fly's implementation on the emulator and the one in memory. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OWNER_KEY, WORKER_KEY } from "../../runtime/convex/machines/metadata.ts";
import { ProviderError } from "../../runtime/convex/machines/providerError.ts";
import type { CreateMachine, MachineProvider } from "../../runtime/convex/machines/provider.ts";

export const OWNER = "agent-factory/test/0123456789abcdef";

export interface ProviderUnderTest {
  provider: MachineProvider;
  /** The same provider as a stranger sees it: credentials that the app refuses. */
  image: string;
  regions: [string, string];
  /** The next create in this region finds no room. */
  fillRegion(region: string): Promise<void>;
  /** The next call acts, but its answer is lost. */
  loseNextAnswer(operation: "create" | "destroy"): Promise<void>;
  close(): Promise<void>;
}

async function failureOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ProviderError) return error.failure.kind;
    throw error;
  }
  return "none";
}

/** Expects the machine to reach the state; providers take a moment. */
async function until(provider: MachineProvider, machineId: string, state: string): Promise<void> {
  await expect.poll(async () => (await provider.get(machineId)).state, { timeout: 10_000 }).toBe(state);
}

export function describeProvider(name: string, start: () => Promise<ProviderUnderTest>): void {
  describe(`machine provider: ${name}`, () => {
    let subject: ProviderUnderTest;
    let made = 0;
    beforeAll(async () => {
      subject = await start();
    });
    afterAll(async () => {
      await subject.close();
    });

    const request = (change: Partial<CreateMachine> = {}): CreateMachine => {
      const worker = change.name ?? `w-test-${++made}`;
      return {
        name: worker,
        region: subject.regions[0],
        image: subject.image,
        env: { WORKER_ID: worker },
        metadata: { [OWNER_KEY]: OWNER, [WORKER_KEY]: worker },
        guest: { cpuKind: "shared", cpus: 1, memoryMb: 2_048 },
        killTimeoutMs: 10_000,
        volumeId: null,
        minSecretsVersion: null,
        ...change,
      };
    };

    test("a created machine is listed with its owner, worker and image", async () => {
      const machine = await subject.provider.create(request());
      const listed = (await subject.provider.list()).find((other) => other.machineId === machine.machineId);
      expect(listed).toMatchObject({
        name: machine.name,
        owner: OWNER,
        workerId: machine.name,
        image: subject.image,
        region: subject.regions[0],
        hostReachable: true,
      });
      await subject.provider.destroy(machine.machineId);
    });

    test("a name that is taken is refused and the machine that bears it is named", async () => {
      const first = await subject.provider.create(request());
      const second = subject.provider.create(request({ name: first.name }));
      await expect(second).rejects.toMatchObject({ failure: { kind: "name_taken" } });
      const named = await second.then(
        () => "created",
        (error: unknown) =>
          error instanceof ProviderError && error.failure.kind === "name_taken"
            ? error.failure.machineId
            : "other",
      );
      expect([first.machineId, null]).toContain(named);
      await subject.provider.destroy(first.machineId);
    });

    test("a create whose answer is lost is unknown, and the machine exists", async () => {
      await subject.loseNextAnswer("create");
      const wanted = request();
      expect(await failureOf(subject.provider.create(wanted))).toBe("unknown");
      const machine = (await subject.provider.list()).find((other) => other.name === wanted.name);
      expect(machine?.workerId).toBe(wanted.name);
      if (machine !== undefined) await subject.provider.destroy(machine.machineId);
    });

    test("a destroy whose answer is lost may be repeated", async () => {
      const machine = await subject.provider.create(request());
      await subject.loseNextAnswer("destroy");
      expect(await failureOf(subject.provider.destroy(machine.machineId))).toBe("unknown");
      expect(await failureOf(subject.provider.destroy(machine.machineId))).toBe("none");
    });

    test("a full region is told apart from other refusals, and the next region takes the machine", async () => {
      await subject.fillRegion(subject.regions[0]);
      const wanted = request();
      expect(await failureOf(subject.provider.create(wanted))).toBe("no_capacity");
      const machine = await subject.provider.create({ ...wanted, region: subject.regions[1] });
      expect(machine.region).toBe(subject.regions[1]);
      await subject.provider.destroy(machine.machineId);
    });

    test("stop, start, suspend, start: the machine rests and runs as told", async () => {
      expect.assertions(5);
      const { machineId } = await subject.provider.create(request());
      await until(subject.provider, machineId, "started");
      await subject.provider.stop(machineId, 5_000);
      await until(subject.provider, machineId, "stopped");
      await subject.provider.start(machineId);
      await until(subject.provider, machineId, "started");
      await subject.provider.suspend(machineId);
      await until(subject.provider, machineId, "suspended");
      await subject.provider.start(machineId);
      await until(subject.provider, machineId, "started");
      await subject.provider.cordon(machineId);
      await subject.provider.destroy(machineId);
    });

    test("a destroyed machine is gone: not found, or over", async () => {
      const { machineId } = await subject.provider.create(request());
      await subject.provider.destroy(machineId);
      await expect
        .poll(() => failureOf(subject.provider.get(machineId)), { timeout: 10_000 })
        .toBe("not_found");
      expect(await failureOf(subject.provider.destroy(machineId))).toBe("none");
    });

    test("what does not exist is not found", async () => {
      expect(await failureOf(subject.provider.get("148e00000000000"))).toBe("not_found");
      expect(await failureOf(subject.provider.start("148e00000000000"))).toBe("not_found");
    });

    test("a volume lives apart from its machine and goes when told", async () => {
      const { provider, regions } = subject;
      const guest = request().guest;
      const volume = await provider.volumes.create({
        name: "w_test_volume",
        region: regions[0],
        sizeGb: 1,
        guest,
      });
      const machine = await provider.create(request({ volumeId: volume.volumeId }));
      const attached = (await provider.volumes.list()).find((other) => other.volumeId === volume.volumeId);
      expect(attached?.attachedMachineId).toBe(machine.machineId);
      await provider.destroy(machine.machineId);
      await expect
        .poll(async () => await failureOf(provider.volumes.delete(volume.volumeId)), { timeout: 10_000 })
        .toBe("none");
      expect(await failureOf(provider.volumes.delete(volume.volumeId))).toBe("none");
    });

    test("the app's mark tells owners apart", async () => {
      const machines = await subject.provider.list();
      expect(await failureOf(subject.provider.verifyOwner(OWNER, machines))).toBe("none");
      const stranger = "agent-factory/other/fedcba9876543210";
      expect(await failureOf(subject.provider.verifyOwner(stranger, machines))).toBe("not_owned");
    });
  });
}
