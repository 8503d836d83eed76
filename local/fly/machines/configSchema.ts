import * as z from "zod";
import { parseGoDuration } from "../duration.ts";

export const STOP_SIGNALS = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGKILL",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTERM",
] as const;
export type StopSignal = (typeof STOP_SIGNALS)[number];
export const stopSignalSchema = z.enum(STOP_SIGNALS);

/** Fly's documented ceiling of a kill timeout; whether the API enforces it is not known, this emulator does. */
export const STOP_TIMEOUT_MS_MAX = 300_000;
export const goDuration = z
  .string()
  .refine((text) => parseGoDuration(text) !== null, "must be a Go duration such as 30s");
export const stopTimeoutSchema = goDuration.refine(
  (text) => (parseGoDuration(text) ?? 0) <= STOP_TIMEOUT_MS_MAX,
  "must not be longer than 300s",
);

const MEMORY_MB_PER_CPU = { shared: [256, 2048], performance: [2048, 8192] } as const;
const CPUS = { shared: [1, 2, 4, 6, 8], performance: [1, 2, 4, 6, 8, 10, 12, 14, 16] } as const;

export const guestSchema = z
  .object({
    cpu_kind: z.enum(["shared", "performance"]).default("shared"),
    cpus: z.number().int().default(1),
    memory_mb: z.number().int().optional(),
    persist_rootfs: z.enum(["never", "always", "restart"]).optional(),
    kernel_args: z.array(z.string()).optional(),
  })
  .transform((guest) => ({
    ...guest,
    memory_mb: guest.memory_mb ?? MEMORY_MB_PER_CPU[guest.cpu_kind][0] * guest.cpus,
  }))
  .superRefine((guest, context) => {
    const [min, max] = MEMORY_MB_PER_CPU[guest.cpu_kind];
    const cpus: readonly number[] = CPUS[guest.cpu_kind];
    if (!cpus.includes(guest.cpus)) {
      context.addIssue({
        code: "custom",
        path: ["cpus"],
        message: `${guest.cpu_kind} machines have ${cpus.join(", ")}`,
      });
    }
    if (
      guest.memory_mb % 256 !== 0 ||
      guest.memory_mb < min * guest.cpus ||
      guest.memory_mb > max * guest.cpus
    ) {
      const range = `${min * guest.cpus} to ${max * guest.cpus}`;
      context.addIssue({
        code: "custom",
        path: ["memory_mb"],
        message: `must be a multiple of 256, ${range}`,
      });
    }
  });

const strings = z.array(z.string());
const restartSchema = z.object({
  policy: z.enum(["no", "always", "on-failure"]).default("on-failure"),
  max_retries: z.number().int().min(0).optional(),
});
const fileSchema = z
  .object({
    guest_path: z.string().startsWith("/", "must be an absolute path"),
    raw_value: z.base64().optional(),
    secret_name: z.string().optional(),
    mode: z.number().int().min(0).max(0o7777).optional(),
  })
  .refine(
    (file) => (file.raw_value === undefined) !== (file.secret_name === undefined),
    "needs raw_value or secret_name",
  );
const mountSchema = z.object({
  volume: z.string(),
  path: z.string().startsWith("/", "must be an absolute path"),
  name: z.string().optional(),
  size_gb: z.number().int().optional(),
  encrypted: z.boolean().optional(),
  extend_threshold_percent: z.number().int().optional(),
  add_size_gb: z.number().int().optional(),
  size_gb_limit: z.number().int().optional(),
});

/**
 * The machine config. Fields this emulator acts on are checked; those it only gives back (services, checks, …) pass
 * as they are; unknown ones are dropped, as a Go server drops them.
 */
export const machineConfigSchema = z.object({
  image: z.string().min(1),
  env: z.record(z.string(), z.string()).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  guest: guestSchema.prefault({}),
  init: z
    .object({
      cmd: strings.optional(),
      entrypoint: strings.optional(),
      exec: strings.optional(),
      swap_size_mb: z.number().int().min(0).optional(),
      tty: z.boolean().optional(),
    })
    .optional(),
  restart: restartSchema.prefault({}),
  auto_destroy: z.boolean().optional(),
  stop_config: z
    .object({ signal: stopSignalSchema.optional(), timeout: stopTimeoutSchema.optional() })
    .optional(),
  mounts: z.array(mountSchema).optional(),
  files: z.array(fileSchema).max(100).optional(),
  rootfs: z
    .object({ persist: z.enum(["never", "always", "restart"]).optional(), size_gb: z.number().optional() })
    .optional(),
  schedule: z.string().optional(),
  services: z.array(z.unknown()).optional(),
  checks: z.record(z.string(), z.unknown()).optional(),
  dns: z.record(z.string(), z.unknown()).optional(),
  metrics: z.record(z.string(), z.unknown()).optional(),
  processes: z.array(z.unknown()).optional(),
  standbys: strings.optional(),
  statics: z.array(z.unknown()).optional(),
  size: z.string().optional(),
});
export type MachineConfig = z.output<typeof machineConfigSchema>;

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/;

export const createMachineSchema = z.object({
  name: z
    .string()
    .regex(NAME, "must be letters, digits, dots, dashes and underscores, at most 63")
    .optional(),
  region: z.string().optional(),
  config: machineConfigSchema,
  lease_ttl: z.number().int().min(0).optional(),
  skip_launch: z.boolean().optional(),
  skip_secrets: z.boolean().optional(),
  skip_service_registration: z.boolean().optional(),
  min_secrets_version: z.number().int().min(0).optional(),
});
export type CreateMachine = z.output<typeof createMachineSchema>;

export const updateMachineSchema = createMachineSchema.extend({ current_version: z.string().optional() });
export type UpdateMachine = z.output<typeof updateMachineSchema>;
