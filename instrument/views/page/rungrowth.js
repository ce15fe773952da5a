// What comes to a run that is shown already: its growth, what is known when it is over, what is found in its contents.

import { count } from "./format.js";
import { parse } from "./query.js";

export const LIVE_MS = 200;

// Live runs grow; one that is not there yet is waited for.
export function followRun(view) {
  view.stop = view.page.source.follow({ trace: view.id, after: view.trace.lines }, (what, told) => {
    if (what === "connected") view.page.connected(told);
    else if (what === "columns") grow(view, told);
    else heardOfRuns(view, told);
  });
  view.clock = setInterval(() => view.trace.live && view.arrangeSoon(), LIVE_MS * 2);
}

function grow(view, told) {
  const first = view.trace.size === 0;
  view.trace.add(told);
  if (first) view.loaded();
  else view.arrangeSoon();
}

function heardOfRuns(view, told) {
  const row = told.rows.find((one) => one.id === view.id);
  const live = row?.status === "running";
  if (!row || live === view.trace.live) return;
  view.trace.live = live;
  view.arrangeSoon();
  if (!live) examineRun(view);
}

// What detectors see afterwards is added to what they saw while the run was recorded, with what the run waited for.
export async function examineRun(view) {
  try {
    const told = await view.page.source.findings(view.id);
    if (!told || view.closed) return;
    if (told.findings === null) view.aside = `Runs of more than ${count(told.most)} spans are not examined again here: instrument check ${view.id.slice(0, 8)} does it.`;
    else if (view.trace.learn(told)) view.arrangeSoon();
    if (told.why) view.why.learn(told.why);
  } catch {
    // what was found while the run was recorded is there anyway
  }
}

// Words are looked for in inputs and outputs too; what is found there comes a moment later.
export async function searchRun(view) {
  const words = parse(view.filterbar.query).filter((one) => one.key === "text" && one.text.length > 1).map((one) => one.text);
  for (const word of words) {
    view.sight.found ??= new Map();
    if (view.sight.found.has(word)) continue;
    view.sight.found.set(word, new Set());
    try {
      const ids = await view.page.source.search(view.trace, word);
      view.sight.found.set(word, new Set(ids.map((id) => view.trace.rows.get(id))));
    } catch {
      view.sight.found.delete(word);
      return;
    }
    if (!view.closed) view.filter();
  }
}
