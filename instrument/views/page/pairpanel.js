// One row of a comparison whole: the figures of both calls, and everything that changed.

import { h, button, refill } from "./dom.js";
import { line, shown } from "./text.js";
import { kindClass } from "./theme.js";
import { figuresView, partsView } from "./diffhead.js";

export class PairPanel {
  // `details(spans)` asks for what the rows do not hold, `hrefOf(row, side)` is where a call is in its run.
  constructor({ details, hrefOf, closed }) {
    Object.assign(this, { details, hrefOf, closed });
    this.element = h("aside", { class: "panel", "aria-label": "what changed", tabindex: "-1", hidden: true });
    this.row = -1;
  }

  async show(trees, row) {
    if (this.shows(row)) return;
    this.row = row;
    this.element.hidden = false;
    const waiting = h("p", { class: "notice" }, "Reading…");
    this.put(trees, row, waiting);
    this.element.scrollTop = 0;
    try {
      await this.read(trees, row);
    } catch (problem) {
      waiting.textContent = problem.message;
    }
  }

  // The same call where the runs have grown, and it with them or not.
  async renew(trees, row) {
    const same = this.told === essence(trees, row);
    this.row = row;
    if (same) return;
    try {
      await this.read(trees, row);
    } catch {
      // what is shown stays
    }
  }

  async read(trees, row) {
    const told = await this.details([trees.a.id[row], trees.b.id[row]]);
    if (this.row !== row || this.element.hidden) return;
    const seen = this.element.scrollTop;
    this.put(trees, row, figuresView(told.figures), ...changesOf(trees, row, told));
    this.element.scrollTop = seen;
    this.told = essence(trees, row);
  }

  put(trees, row, ...content) {
    refill(this.element, this.head(trees, row), h("div", { class: "panel-body" }, this.links(), content));
  }

  shows(row) {
    return this.row === row && !this.element.hidden;
  }

  close() {
    this.element.hidden = true;
    this.row = -1;
  }

  head(trees, row) {
    const kind = trees.words[trees.kind[row]];
    return h("header", { class: `panel-head ${kindClass(kind)}` },
      h("span", { class: "mark", "aria-hidden": "true" }),
      h("h2", {}, shown(trees.words[trees.name[row]])),
      h("span", { class: "kindname" }, line(kind, 40)),
      h("span", { class: "gap" }), button("×", () => this.closed(), { class: "quiet x", "aria-label": "close", title: "close (Esc)" }));
  }

  links() {
    const link = (side) => {
      const href = this.hrefOf(this.row, side);
      const letter = side.toUpperCase();
      return href ? h("a", { class: "enter", href, title: `(${side})` }, `Open in ${letter}`) : h("span", { class: "hint" }, `Not in ${letter}`);
    };
    return h("p", { class: "enters" }, link("a"), link("b"));
  }
}

// What the panel tells of a row, as far as the rows hold it.
function essence(trees, row) {
  return JSON.stringify([trees.changesOf.get(row), ...[trees.a, trees.b].map((side) => [side.id[row], side.ns[row], side.tokens[row], trees.words[side.status[row]]])]);
}

function changesOf(trees, row, told) {
  const changes = trees.changesOf.get(row) ?? [];
  if (!changes.length) return [h("p", { class: "hint" }, trees.below[row] ? "The call itself is the same; what differs lies below it." : trees.state[row] ? "It lies below a call that the other run does not make." : "Nothing but times, tokens and money differs.")];
  const whole = new Map(told.changes.map(([cause, where, lines]) => [`${cause} ${where}`, lines]));
  return changes.map(([cause, said, where, , before, after]) => {
    const lines = whole.get(`${cause} ${where}`) ?? (before || after ? [[["gone", before]], [["new", after]]] : null);
    return h("section", { class: "one-change" }, h("h3", {}, said, where && where !== cause ? h("span", { class: "hint" }, ` ${line(where, 200)}`) : ""), lines ? partsView(lines) : "");
  });
}
