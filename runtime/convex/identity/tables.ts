export const identityTables = {};
