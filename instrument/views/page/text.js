// Recorded text is data: what could hide or reorder it is made visible, and it never becomes markup.

import { h, button } from "./dom.js";
import { count, bytes } from "./format.js";

// Control characters but tab and newline, marks that change the direction, letters without width, lone surrogates.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;
const FIRST = 20_000;
const MORE = 100_000;

export function visible(letter) {
  return `⟨${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

// One line, for rows and titles.
export function line(text, most = 300) {
  const start = text.length > most ? `${text.slice(0, most)}…` : text;
  return start.replace(/\s*[\n\t]\s*/g, " ").replace(UNSEEN, visible);
}

// The text with what is unseen marked.
export function shown(text) {
  const made = document.createDocumentFragment();
  let at = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found.index > at) made.append(text.slice(at, found.index));
    made.append(h("span", { class: "unseen" }, visible(found[0])));
    at = found.index + found[0].length;
  }
  if (at < text.length) made.append(text.slice(at));
  return made;
}

// Whether a text is code or a table: lines that are set in or numbered, and are no items of a list.
const SET_IN = /^(?: {2,}|\t+| *\d+[:|→])(?![-*+•] |\d+[.)] )/gm;

function isSet(text) {
  return (text.slice(0, FIRST).match(SET_IN)?.length ?? 0) > 1;
}

// A block of text of any length: the beginning, and more when asked.
export function block(text, kind = isSet(text) ? "code" : "text") {
  const body = h("pre", { class: `block ${kind}`, dir: "auto" });
  if (text.length <= FIRST * 1.2) {
    body.append(shown(text));
    return body;
  }
  let end = whole(text, FIRST);
  body.append(shown(text.slice(0, end)));
  const more = button("", () => {
    const next = whole(text, end + MORE);
    body.append(h("span", { class: "chunk" }, shown(text.slice(end, next))));
    end = next;
    tell();
  }, { class: "quiet more" });
  const tell = () => {
    const left = text.length - end;
    more.hidden = left <= 0;
    more.textContent = `Show ${count(Math.min(MORE, left))} more of ${count(left)} letters (${bytes(text.length)} in all)`;
  };
  tell();
  return h("div", { class: "long" }, body, more);
}

// No pair of surrogates is cut in two.
function whole(text, end) {
  const code = text.charCodeAt(end - 1);
  return code >= 0xd800 && code < 0xdc00 ? end - 1 : end;
}
