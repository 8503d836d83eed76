/**
 * The conversations that this worker holds: folder, session and what the backend need not send again.
 *
 * A conversation arrives into a fresh folder and a session key of its own, because OpenClaw silently re-points a
 * known key to another folder, and runs an unknown one in a folder that everybody shares.
 */
import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Dedication, HydrationBundle, Profile } from "../../../convex/validators.ts";
import type { HydrationHolds } from "../backend/backend.ts";
import { PROFILE_PATH } from "../snapshot/limits.ts";
import { restoreSnapshot } from "../snapshot/restore.ts";
import { createBacklog } from "./backlog.ts";
import type { AgentEngine } from "./engine.ts";
import type { EngineSession } from "./sessions.ts";
import { installSkills } from "../skills/install.ts";
import type { Skill } from "../skills/policy.ts";
import { applyProfile, parseTemplateRecord, type TemplateRecord } from "./profileFiles.ts";
import { planTools, runsCommands, type ToolPlan } from "./toolPolicy.ts";
import { seedFromHistory } from "./transcript.ts";
import { transcriptFromFiles } from "./transcriptFiles.ts";

export interface Resident {
  readonly conversationId: string;
  readonly folder: string;
  readonly session: EngineSession;
  profile: Profile;
  tools: ToolPlan;
  skills: Skill[];
  templates: TemplateRecord;
  snapshotVersion: number | null;
  historyThrough: number;
}

export interface ResidentsOptions {
  engine: AgentEngine;
  /** Parent of the conversations' folders; owned and wiped by this worker. */
  dir: string;
  /** Conversations kept after their turn; the least recently used one leaves first. */
  keptMax: number;
  /** Skills of the image. */
  skills: readonly Skill[];
  onCleanupError: (error: unknown) => void;
  /** Skills that an agent or a snapshot had put into a conversation's folder. */
  onForeignSkills: (conversationId: string, names: string[]) => void;
}

export interface Residents {
  /** What the bundle may leave out. Null: this worker holds nothing of the conversation. */
  holds(conversationId: string): HydrationHolds | null;
  /**
   * The resident that the bundle speaks of: the held one, or one that arrives now. Null: the bundle left out what
   * this worker held when it asked and cannot use any more, so that only the whole bundle helps.
   */
  obtain(bundle: HydrationBundle, dedication: Dedication, signal: AbortSignal): Promise<Resident | null>;
  /** Forgets a conversation whose local state is no longer what the backend knows. */
  evict(conversationId: string): void;
  evictAll(): void;
  size(): number;
  /** Whether an agent could run commands here. What they started may outlive its turn, whatever is wiped. */
  commandsWereAllowed(): boolean;
  /** Resolves when everything that was evicted is gone. */
  settled(): Promise<void>;
}

export function createResidents(options: ResidentsOptions): Residents {
  const { engine } = options;
  /** Least recently used first. */
  const held = new Map<string, Resident>();
  const leaving = createBacklog(options.keptMax, options.onCleanupError);
  let arrivals = 0;
  let commandsAllowed = false;

  const current = (conversationId: string): Resident | null => {
    const resident = held.get(conversationId);
    return resident !== undefined && engine.isCurrent(resident.session) ? resident : null;
  };

  const evict = (conversationId: string): void => {
    const resident = held.get(conversationId);
    if (resident === undefined) return;
    held.delete(conversationId);
    // The gateway takes a second or two for each, and turns run meanwhile.
    leaving.add(async () => {
      await engine.closeSession(resident.session).catch(options.onCleanupError);
      await rm(resident.folder, { recursive: true, force: true });
    });
  };

  const skillsOf = (profile: Profile): Skill[] => {
    const wanted = new Set(profile.skills);
    return options.skills.filter((skill) => wanted.has(skill.name));
  };

  const arrive = async (
    bundle: HydrationBundle,
    dedication: Dedication,
    signal: AbortSignal,
  ): Promise<Resident | null> => {
    // Another worker has moved the conversation on, its tools have changed, or it was evicted meanwhile.
    const isWhole = bundle.snapshot !== null || bundle.snapshotVersion === null;
    if (bundle.profile === null || !isWhole) return null;
    await leaving.room(signal);
    signal.throwIfAborted();
    const name = `${createHash("sha256").update(bundle.conversationId).digest("hex").slice(0, 20)}-${++arrivals}`;
    const folder = join(options.dir, name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    let session: EngineSession | null = null;
    try {
      const reserved =
        bundle.snapshot === null
          ? new Map<string, Buffer>()
          : await restoreSnapshot(bundle.snapshot, folder, signal);
      const tools = planTools(bundle.profile, dedication);
      session = await engine.openSession(name, folder, tools.extended);
      const transcript = transcriptFromFiles(reserved) ?? seedFromHistory(bundle.history);
      await engine.importTranscript(session, transcript);
      const templates = parseTemplateRecord(reserved.get(PROFILE_PATH));
      return {
        conversationId: bundle.conversationId,
        folder,
        session,
        profile: bundle.profile,
        tools,
        skills: skillsOf(bundle.profile),
        templates: await applyProfile(folder, bundle.profile, templates),
        snapshotVersion: bundle.snapshotVersion,
        historyThrough: bundle.historyThrough,
      };
    } catch (error) {
      if (session !== null) await engine.closeSession(session).catch(options.onCleanupError);
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  };

  /** The held conversation, brought up to date; null when it must arrive anew. */
  const stay = async (bundle: HydrationBundle, dedication: Dedication): Promise<Resident | null> => {
    const known = current(bundle.conversationId);
    const profile = bundle.profile;
    const tools = profile === null ? known?.tools : planTools(profile, dedication);
    const usable =
      known !== null &&
      bundle.snapshot === null &&
      bundle.snapshotVersion === known.snapshotVersion &&
      // A session is bound to the safe or the extended agent when it is opened.
      tools?.extended === known.tools.extended;
    if (known === null || !usable || tools === undefined) {
      evict(bundle.conversationId);
      return null;
    }
    if (profile !== null) {
      known.profile = profile;
      known.tools = tools;
      known.skills = skillsOf(profile);
      known.templates = await applyProfile(known.folder, profile, known.templates);
    }
    known.historyThrough = bundle.historyThrough;
    return known;
  };

  return {
    holds: (conversationId) => {
      const resident = current(conversationId);
      if (resident === null) return null;
      return {
        profileRevision: resident.profile.revision,
        historyThrough: resident.historyThrough,
        ...(resident.snapshotVersion === null ? {} : { snapshotVersion: resident.snapshotVersion }),
      };
    },

    obtain: async (bundle, dedication, signal) => {
      const resident = (await stay(bundle, dedication)) ?? (await arrive(bundle, dedication, signal));
      if (resident === null) return null;
      commandsAllowed ||= runsCommands(resident.tools);
      held.delete(bundle.conversationId);
      held.set(bundle.conversationId, resident);
      for (const oldest of held.keys()) {
        if (held.size <= options.keptMax) break;
        evict(oldest);
      }
      const foreign = await installSkills(resident.folder, resident.skills, options.skills);
      if (foreign.length > 0) options.onForeignSkills(resident.conversationId, foreign);
      return resident;
    },

    evict,
    evictAll: () => {
      for (const conversationId of held.keys()) evict(conversationId);
    },
    size: () => held.size,
    commandsWereAllowed: () => commandsAllowed,
    settled: () => leaving.settled(),
  };
}
