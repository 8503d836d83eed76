export const ingressTables = {};
