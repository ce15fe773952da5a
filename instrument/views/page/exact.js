// JSON in which whole numbers too long for a number, as many ids are, stay what was recorded. A browser that does not
// tell what a number was written as rounds them.

export function parsed(text) {
  return JSON.parse(text, (_, value, { source = "" } = {}) => (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value));
}

export function written(value) {
  return JSON.stringify(value, (_, one) => (typeof one === "bigint" ? JSON.rawJSON(String(one)) : one), 2);
}
