export const hydrationTables = {};
