/** How many workers are wanted. Only conversations count: ten messages of one conversation need one slot. */

export interface Demand {
  /** Conversations whose next message is due now. */
  due: number;
  /** Conversations whose turn runs. */
  running: number;
  /**
   * With dedicated workers, due and running conversations of each owner (agent or conversation); owners never
   * share a worker. Left out: any worker serves any conversation.
   */
  perOwner?: number[] | undefined;
}

export interface ScalingLimits {
  minWorkers: number;
  maxWorkers: number;
  jobsPerWorker: number;
}

export interface WantedWorkers {
  /** What the demand asks for, whatever the limits. */
  needed: number;
  /** Between minWorkers and maxWorkers. */
  desired: number;
}

export function wantedWorkers(demand: Demand, limits: ScalingLimits): WantedWorkers {
  const needed =
    demand.perOwner === undefined
      ? Math.ceil((demand.due + demand.running) / limits.jobsPerWorker)
      : demand.perOwner.reduce((sum, count) => sum + Math.ceil(count / limits.jobsPerWorker), 0);
  return { needed, desired: Math.min(limits.maxWorkers, Math.max(limits.minWorkers, needed)) };
}
