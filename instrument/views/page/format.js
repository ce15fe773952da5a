// Numbers and times for people.

const GAP = "\u202f";
export const UNKNOWN = "–";

export function duration(ns) {
  if (ns === null || Number.isNaN(ns)) return "";
  if (ns === 0) return "0";
  for (const [limit, unit, size] of [[1e3, "ns", 1], [1e6, "µs", 1e3], [1e9, "ms", 1e6], [6e10, "s", 1e9]]) {
    if (Math.abs(ns) < limit * 0.9995) return `${threeDigits(ns / size)}${GAP}${unit}`;
  }
  const seconds = Math.round(ns / 1e9);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${GAP}m ${pad(seconds % 60)}${GAP}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)}${GAP}h ${pad(minutes % 60)}${GAP}m`;
  return `${threeDigits(minutes / 1440)}${GAP}d`;
}

function threeDigits(value) {
  const size = Math.abs(value);
  const text = value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function pad(number) {
  return String(number).padStart(2, "0");
}

const WHOLE = new Intl.NumberFormat("en-US");
const CENTS = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export function count(number) {
  return number === null || number === undefined ? "" : number < 1000 ? String(number) : WHOLE.format(number);
}

// 950 · 12.3k · 4.56M
export function short(number) {
  if (!number) return "";
  if (number < 10_000) return count(number);
  if (number < 999_500) return `${threeDigits(number / 1e3)}k`;
  return `${threeDigits(number / 1e6)}M`;
}

export function money(usd) {
  if (usd === null || usd === undefined || Number.isNaN(usd)) return "";
  const size = Math.abs(usd);
  if (size === 0) return "$0";
  if (size >= 1) return `$${CENTS.format(usd)}`;
  const places = Math.min(100, Math.max(4, 2 - Math.floor(Math.log10(size))));
  return `$${usd.toFixed(places)}`;
}

// Money as the terminal tells it: `~` before what was estimated, `+` behind what leaves calls without a price out.
export function bill(usd, { estimated, unpriced }) {
  if (!usd) return unpriced ? "unpriced" : "";
  return `${estimated ? "~" : ""}${money(usd)}${unpriced ? "+" : ""}`;
}

// A judgement: `helpful 0.8`, as a row of a run holds it.
export function scoreTold([name, value, label]) {
  return `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : (label ?? "")}`.trim();
}

export function bytes(number) {
  if (number < 1000) return `${number}${GAP}B`;
  if (number < 999_500) return `${threeDigits(number / 1e3)}${GAP}kB`;
  return `${threeDigits(number / 1e6)}${GAP}MB`;
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

const DAY = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function day(ms) {
  return DAY.format(ms);
}

export function clock(ms) {
  return CLOCK.format(ms);
}

const MONTH = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });

// As short as it can be told apart: the time today, with the day this year.
export function when(ms) {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8e15) return "";
  const date = new Date(ms);
  const today = new Date();
  if (date.toDateString() === today.toDateString()) return clock(ms);
  return date.getFullYear() === today.getFullYear() ? `${MONTH.format(ms)} ${clock(ms).slice(0, 5)}` : `${day(ms)} ${clock(ms).slice(0, 5)}`;
}

export function moment(ms) {
  return Number.isFinite(ms) && Math.abs(ms) < 8e15 ? `${day(ms)} ${clock(ms)}${zone(ms)}` : "";
}

const ZONE = new Intl.DateTimeFormat("en-US", { timeZoneName: "shortOffset" });

// How far the reader's time is from that of the terminal and of findings, which is UTC.
function zone(ms) {
  return new Date(ms).getTimezoneOffset() ? ` ${ZONE.formatToParts(ms).find((part) => part.type === "timeZoneName").value}` : "";
}

const CLOCKS = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

// Steps of 1, 2 or 5 times a power of ten, about `room` of them in `span`.
export function tickStep(span, room) {
  const rough = span / Math.max(1, room);
  if (rough > 1e10) return 1e9 * (CLOCKS.find((seconds) => seconds * 1e9 >= rough) ?? Math.ceil(rough / 864e11) * 86_400);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough);
  return step * power;
}
