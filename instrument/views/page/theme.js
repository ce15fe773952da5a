// Dark and light, and the colours as a canvas needs them.

import { h, remember, remembered } from "./dom.js";

const ORDER = ["auto", "light", "dark"];
export const KINDS = ["agent", "workflow", "step", "llm", "tool", "embedding", "retrieval", "span"];
const changed = new EventTarget();
let colors = new Map();
let probe = null;

export function startTheme() {
  probe = h("i", { class: "away", "aria-hidden": "true" });
  document.body.append(probe);
  applyTheme(remembered("theme", "auto"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forget);
}

export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  remember("theme", next);
  applyTheme(next);
  return next;
}

export function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

export function onTheme(work) {
  changed.addEventListener("change", work);
  return () => changed.removeEventListener("change", work);
}

function applyTheme(name) {
  document.documentElement.dataset.theme = ORDER.includes(name) ? name : "auto";
  forget();
}

function forget() {
  colors = new Map();
  changed.dispatchEvent(new Event("change"));
}

// The colour that a variable of the style sheet stands for just now.
export function color(variable) {
  if (!colors.has(variable)) {
    probe.style.color = `var(${variable})`;
    colors.set(variable, getComputedStyle(probe).color);
  }
  return colors.get(variable);
}

export function kindClass(kind) {
  return `k-${KINDS.includes(kind) ? kind : "span"}`;
}

export function kindColor(kind) {
  return color(`--${kindClass(kind)}`);
}
