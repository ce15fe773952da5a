// Two runs chosen to be compared: one is held until the other is named, and then the comparison is opened.

import { h, button } from "./dom.js";
import { when } from "./format.js";
import { line } from "./text.js";

export class Choice {
  // `changed` is told that another run is held, or none.
  constructor(changed) {
    this.changed = changed;
    this.held = null;
    this.element = h("div", { class: "choice", role: "status", hidden: true });
  }

  // Holds the run, lets it go if it is held already, or opens its comparison with the one that is held.
  pick(run, rows) {
    if (this.held && this.held.id !== run.id) {
      location.hash = comparisonOf(this.held, run);
      return;
    }
    this.held = this.held ? null : run;
    this.tell(rows);
  }

  drop() {
    const held = this.held !== null;
    this.held = null;
    this.tell([]);
    return held;
  }

  tell(rows) {
    this.element.hidden = this.held === null;
    if (this.held) {
      const before = runBefore(rows, this.held);
      this.element.replaceChildren(
        h("span", { class: "text" }, "Compare ", h("b", {}, line(this.held.name, 60)), ` of ${when(this.held.start_ms)} with: tick another run, or `, h("kbd", {}, "d"), " on it."),
        before ? button("the one before", () => (location.hash = comparisonOf(before, this.held)), { title: `${line(before.name, 60)} of ${when(before.start_ms)}` }) : "",
        button("Cancel", () => this.drop(), { class: "quiet" }));
    }
    this.changed();
  }
}

// The address of the comparison of two runs, the earlier one on the left.
export function comparisonOf(one, other) {
  const [a, b] = one.start_ms <= other.start_ms ? [one, other] : [other, one];
  return `#/diff/${a.id}/${b.id}`;
}

// The run of the same name that began last before a run.
export function runBefore(rows, run) {
  const earlier = rows.filter((row) => row.name === run.name && row.id !== run.id && row.start_ms <= run.start_ms);
  return earlier.reduce((last, row) => (last && last.start_ms >= row.start_ms ? last : row), null);
}
