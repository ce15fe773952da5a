// The keyboard: what each key does is told by the view in sight, and the same list is the help.

import { h, button } from "./dom.js";

const MOVES = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 20, PageUp: -20 };

// Where a key leads from one of so many rows; null where it is none that moves.
export function moved(key, from, count) {
  const to = key in MOVES ? from + MOVES[key] : key === "g" || key === "Home" ? 0 : key === "G" || key === "End" ? count - 1 : null;
  return to === null ? null : Math.max(0, Math.min(count - 1, to));
}

const GENERAL = [
  ["/", "filter"],
  ["j k  ↓ ↑", "next, previous row"],
  ["g G", "first, last row"],
  ["Enter", "open what is selected; once more: read it, and its keys scroll"],
  ["Esc", "leave the filter, close the panel, go back"],
  ["t", "light, dark, as the system"],
  ["?", "this help"],
];

export const RUN_KEYS = [
  ["← →", "fold or go up, unfold or go down"],
  ["Shift ← →", "move along the time line"],
  ["+ − 0", "zoom in, out, show all"],
  ["f", "zoom to the selected span"],
  ["e E", "next, previous error"],
  ["n N", "next, previous finding"],
  ["x X", "fold all, unfold all"],
  ["l", "logs among the spans"],
  ["p", "only the critical path"],
  ["c", "copy a link to the span"],
  ["d", "compare with the run before of the same name"],
  ["w", "save the run as one file"],
  ["y", "why it failed, was slow, was expensive"],
  ["1 2 3 4", "time line, steps, findings, logs"],
  ["[ ]", "narrower, wider names"],
];

export const LIST_KEYS = [["r", "runs"], ["s", "costs"]];

export const RUNS_KEYS = [["d", "compare: on one run, then on the other"], ...LIST_KEYS];

export const DIFF_KEYS = [
  ["d", "only what differs, or all"],
  ["f", "the first divergence"],
  ["a b", "open the call in run A, in run B"],
  ["← →", "fold or go up, unfold or open"],
  ["x X", "fold all, unfold all"],
  ["r", "runs"],
];

export function typing(event) {
  return event.target.closest?.("input, textarea, select, [contenteditable]") !== null && event.target.closest !== undefined;
}

export function help(more, withFilter) {
  const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" });
  const general = withFilter ? GENERAL : GENERAL.filter(([keys]) => keys !== "/");
  const rows = [...general, ...more].map(([keys, does]) =>
    h("div", {}, h("dt", {}, keys.split(/ +/).map((key) => h("kbd", {}, key))), h("dd", {}, does)),
  );
  dialog.append(
    h("h2", { id: "help-title" }, "Keyboard"),
    h("dl", { class: "keys" }, rows),
    ...(withFilter ? filterHelp() : []),
    button("Close", () => dialog.close(), { autofocus: true }),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function filterHelp() {
  return [
    h("h3", {}, "Filter"),
    h("p", {}, "Words are looked for in names and arguments at once and in contents a moment later. Also: ", ...codes(["kind:llm", "status:error", "model:mini", "tool:read", "agent:x", "session:x", "user:x", "score:thumbs", "score:helpful<0.5", "score<0.5", "age<2d", "finding:any", "is:critical", "name:plan", "cost>0.01", "dur>2s", "tokens>1000", "errors>0"]), ". A minus before one of them excludes it."),
  ];
}

function codes(words) {
  return words.flatMap((word, place) => [place ? " " : "", h("code", {}, word)]);
}
