export const snapshotTables = {};
