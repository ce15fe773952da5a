// The filter: words, `key:value`, `key>number`, `score:name<number`, a minus before what is not wanted, quotes around phrases.

const PART = /(-?)(?:([a-z]+)(:|>=|<=|>|<))?("(?:[^"\\]|\\.)*"?(?:[<>]=?-?[\d.]+)?|\S+)/gi;
const NUMBERS = new Set(["age", "cost", "dur", "duration", "tokens", "spans", "errors", "score"]);
const WORDS = new Set(["kind", "status", "model", "tool", "agent", "finding", "name", "id", "is", "session", "user", "score"]);
const VALUE = /^(.*?)(>=|<=|>|<)(-?\d*\.?\d+)$/s;
const UNITS = { ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9, m: 6e10, h: 3.6e12, d: 8.64e13 };

// Conditions, each `{not, key, sign, text, number}`; a part that says nothing known is a word to look for.
export function parse(query) {
  const conditions = [];
  for (const [whole, minus, rawKey, sign, rawValue] of query.matchAll(PART)) {
    const key = rawKey?.toLowerCase();
    const text = unquoted(rawValue).toLowerCase();
    const not = minus === "-";
    if (key && sign !== ":" && NUMBERS.has(key)) {
      const number = numberOf(key, text);
      if (!Number.isNaN(number)) conditions.push({ not, key: key === "duration" ? "dur" : key, sign, text: key === "score" ? "" : text, number });
    } else if (key && sign === ":" && WORDS.has(key)) {
      const [, name, than, value] = (key === "score" && VALUE.exec(text)) || [];
      if (than) conditions.push({ not, key, sign: than, text: name, number: Number(value) });
      else if (text) conditions.push({ not, key, sign, text });
    } else if (whole !== "-") {
      const word = rawKey ? `${rawKey}${sign}${unquoted(rawValue)}`.toLowerCase() : text;
      if (word) conditions.push({ not, key: "text", sign: ":", text: word });
    }
  }
  return conditions;
}

// The first part that has the form of a condition and is none, such as `knd:llm` or `cost>much`; empty where there is none.
export function misread(query) {
  for (const [whole, , rawKey, sign, rawValue] of query.matchAll(PART)) {
    const key = rawKey?.toLowerCase();
    if (key && !(sign === ":" ? WORDS.has(key) : NUMBERS.has(key) && !Number.isNaN(numberOf(key, unquoted(rawValue).toLowerCase())))) return whole;
  }
  return "";
}

// A phrase without its quotes, and what is compared with it: `"answer quality"<0.5`.
function unquoted(value) {
  const [, phrase, rest] = /^"((?:[^"\\]|\\.)*)"?(.*)$/s.exec(value) ?? [];
  return phrase === undefined ? value : phrase.replace(/\\(.)/g, "$1") + rest;
}

// Scores are plain numbers, below zero too; what is compared otherwise has units.
function numberOf(key, text) {
  return key === "score" ? (/^-?\d*\.?\d+$/.test(text) ? Number(text) : NaN) : amount(text);
}

function amount(text) {
  const found = /^\$?(\d*\.?\d+)(ns|us|µs|ms|s|m|h|d|k)?$/.exec(text);
  if (!found) return NaN;
  if (found[2] === "k") return Number(found[1]) * 1000;
  return Number(found[1]) * (UNITS[found[2]] ?? 1);
}

// A duration without a unit is in seconds.
export function nanoseconds(condition) {
  return /[a-zµ]$/.test(condition.text) ? condition.number : condition.number * 1e9;
}

export function compare(sign, value, number) {
  if (Number.isNaN(value)) return false;
  return sign === ">" ? value > number : sign === ">=" ? value >= number : sign === "<" ? value < number : value <= number;
}

// The query with `key:value` in place of what it says about the key; without it where the value is empty.
export function withWord(query, key, value) {
  const kept = [];
  for (const [whole, , rawKey, sign] of query.matchAll(PART)) {
    if (!(rawKey?.toLowerCase() === key && sign === ":")) kept.push(whole);
  }
  if (value) kept.push(`${key}:${/[\s"]/.test(value) ? JSON.stringify(value) : value}`);
  return kept.join(" ");
}

export function wordOf(query, key) {
  return parse(query).find((one) => one.key === key && !one.not)?.text ?? "";
}
