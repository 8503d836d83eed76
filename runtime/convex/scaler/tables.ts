export const scalerTables = {};
