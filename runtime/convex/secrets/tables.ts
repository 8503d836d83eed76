export const secretTables = {};
