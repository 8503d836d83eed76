/** Keys of a machine's metadata: whose it is, for which worker, made from which revision of the config. */
export const OWNER_KEY = "factory_owner";
export const WORKER_KEY = "factory_worker";
export const REVISION_KEY = "factory_revision";
