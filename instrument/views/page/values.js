// Recorded values as a tree that unfolds where one looks, and long texts in pieces.

import { h, button, copyButton } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { parsed } from "./exact.js";
import { block, line, shown } from "./text.js";

const SHORT = 90;
const MEMBERS = 200;
const PARSED = 300_000;

// A value as an element. `blob(digest)` gives the text of a value that is stored apart.
export function valueView(value, blob, open = true) {
  if (typeof value === "string") return textView(value, blob);
  if (value === null || typeof value !== "object") return h("code", { class: `v-${value === null ? "null" : typeof value}` }, String(value));
  if (isStored(value)) return storedView(value, blob);
  return h("div", { class: "tree" }, members(value, blob, open));
}

// A text; where it is JSON it can be read as such.
export function textView(text, blob) {
  const inside = parsedJson(text);
  if (inside === undefined) return block(text);
  const place = h("div", { class: "either" });
  const show = (asText) => {
    const other = button(asText ? "as JSON" : "as text", () => show(!asText), { class: "quiet switch" });
    place.replaceChildren(other, asText ? block(text) : valueView(inside, blob));
  };
  show(false);
  return place;
}

function parsedJson(text) {
  if (text.length > PARSED || !/^\s*[[{]/.test(text)) return undefined;
  try {
    const value = parsed(text);
    return value !== null && typeof value === "object" ? value : undefined;
  } catch {
    return undefined;
  }
}

function members(value, blob, open) {
  const entries = Array.isArray(value) ? value.map((one, place) => [String(place), one]) : Object.entries(value);
  if (!entries.length) return h("code", { class: "v-null" }, Array.isArray(value) ? "[]" : "{}");
  const list = h("div", { class: "members" });
  let shownSoFar = 0;
  const more = button("", () => add(), { class: "quiet more" });
  const add = () => {
    const next = entries.slice(shownSoFar, shownSoFar + MEMBERS);
    more.before(...next.map(([key, one]) => member(key, one, blob, open && entries.length <= 20)));
    shownSoFar += next.length;
    more.hidden = shownSoFar >= entries.length;
    more.textContent = `${count(entries.length - shownSoFar)} more`;
  };
  list.append(more);
  add();
  return list;
}

function member(key, value, blob, open) {
  const name = h("span", { class: "key" }, shown(key.slice(0, 200)));
  if (isPlain(value)) return h("div", { class: "member" }, name, h("code", { class: `v-${value === null ? "null" : typeof value}` }, typeof value === "string" ? shown(value) : String(value)));
  const hint = typeof value === "string" ? `${count(value.length)} letters` : isStored(value) ? sizeOf(value) : Array.isArray(value) ? plural(value.length, "item") : line(Object.keys(value).join(", "), 60);
  const details = h("details", { class: "member" }, h("summary", {}, name, h("span", { class: "hint" }, hint)));
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(typeof value === "string" ? textView(value, blob) : isStored(value) ? storedView(value, blob) : members(value, blob, false));
  };
  details.addEventListener("toggle", fill);
  details.open = open && (typeof value !== "string" || value.length < 4000);
  if (details.open) fill();
  return details;
}

function isPlain(value) {
  return value === null || typeof value !== "object" ? typeof value !== "string" || (value.length <= SHORT && !value.includes("\n")) : false;
}

function isStored(value) {
  return typeof value === "object" && value !== null && ("$blob" in value || "$cut" in value) && typeof (value.head ?? "") === "string";
}

function sizeOf(value) {
  return typeof value.$cut === "number" ? plural(value.$cut, "letter") : bytes(value.bytes ?? 0);
}

// A value that was too long for the record: its beginning and end, and the whole when asked.
function storedView(value, blob) {
  const place = h("div", { class: "stored" });
  const digest = /^sha256:([0-9a-f]{64})$/.exec(value.$blob ?? "")?.[1];
  const all = digest && button(`Load the whole value (${bytes(value.bytes ?? 0)})`, async () => {
    try {
      const text = await blob(digest);
      place.replaceChildren(copyButton(() => text), unwrapped(text));
    } catch (problem) {
      all.replaceWith(h("span", { class: "hint" }, problem.message));
    }
  }, { class: "quiet more" });
  place.append(block(value.head ?? ""), h("p", { class: "hint" }, `… ${sizeOf(value)} in all${digest ? "" : ", of which only this was kept"} …`), value.tail ? block(value.tail) : "", all || "");
  return place;
}

// What is stored apart is JSON; of a text its letters are wanted.
function unwrapped(text) {
  if (text.startsWith('"')) {
    try {
      return block(JSON.parse(text));
    } catch {
      return block(text);
    }
  }
  return textView(text, null);
}
