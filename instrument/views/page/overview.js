// The whole run in one strip: where time went by kind and depth, how tokens and money came together, where findings
// are. A part of it can be chosen with the mouse; the rows below then show that part.

import { drag, h, once } from "./dom.js";
import { color, kindColor, onTheme } from "./theme.js";
import { bill, short, duration } from "./format.js";
import { line } from "./text.js";

const LANES = 10;
const HEIGHT = 64;
const EDGE = 6;

export class Overview {
  // `chosen(from, to)` is told the part in ns, `opened(finding)` which pin was pressed.
  constructor({ chosen, opened }) {
    this.chosen = chosen;
    this.opened = opened;
    this.canvas = h("canvas", { class: "strip", "aria-hidden": "true" });
    this.window = h("div", { class: "window" });
    this.hover = h("div", { class: "hover", hidden: true });
    this.pins = h("div", { class: "pins" });
    this.legend = h("div", { class: "curve-legend", "aria-hidden": "true" });
    this.element = h("div", { class: "overview" }, this.canvas, this.window, this.hover, this.legend, this.pins);
    this.draw = once(() => this.paint());
    this.observer = new ResizeObserver(this.draw);
    this.observer.observe(this.element);
    this.untheme = onTheme(this.draw);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.window.addEventListener("pointerdown", (event) => this.press(event));
    this.element.addEventListener("pointermove", (event) => this.point(event));
    this.element.addEventListener("pointerleave", () => (this.hover.hidden = true));
    this.element.addEventListener("dblclick", () => this.chosen(this.tree.start, this.tree.stop));
  }

  show(tree) {
    this.tree = tree;
    this.draw();
  }

  mark(from, to) {
    const { start, stop } = this.tree;
    const whole = stop - start || 1;
    const left = Math.max(0, (100 * (from - start)) / whole);
    const right = Math.min(100, (100 * (to - start)) / whole);
    this.window.style.left = `${left}%`;
    this.window.style.width = `${Math.max(0.2, right - left)}%`;
    this.window.classList.toggle("all", left <= 0 && right >= 100);
  }

  paint() {
    const width = this.element.clientWidth;
    if (!this.tree || !width) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = HEIGHT * scale;
    this.canvas.style.height = `${HEIGHT}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    this.paintSpans(pen, width);
    this.paintCurve(pen, width);
    this.placePins();
  }

  paintSpans(pen, width) {
    const { tree } = this;
    const { trace } = tree;
    const whole = tree.stop - tree.start || 1;
    const lane = Math.min(8, (HEIGHT - 14) / Math.min(LANES, 1 + tree.depth.reduce((most, deep) => Math.max(most, deep), 0)));
    const colors = new Map();
    const error = trace.numbers.get("error");
    const taken = Array.from({ length: LANES }, () => -1);
    pen.globalAlpha = 0.85;
    const place = (row, least) => [Math.min(width - least, (width * (trace.start[row] - tree.start)) / whole), Math.max(least, (width * trace.lasts(row)) / whole)];
    for (const row of tree.order) {
      const deep = Math.min(tree.depth[row], LANES - 1);
      const [left, long] = place(row, 1);
      if (left + long <= taken[deep] && long < 1.5) continue; // nothing of it would be seen
      taken[deep] = Math.max(taken[deep], Math.floor(left + long));
      const number = trace.kind[row];
      if (!colors.has(number)) colors.set(number, kindColor(trace.words[number]));
      pen.fillStyle = colors.get(number);
      pen.fillRect(left, 12 + deep * lane, long, Math.max(1, lane - 1));
    }
    // one failure among a thousand calls is seen
    pen.fillStyle = color("--bad");
    for (const row of trace.errors.keys()) {
      const [left, long] = place(row, 2);
      if (trace.status[row] === error) pen.fillRect(left, 12 + Math.min(tree.depth[row], LANES - 1) * lane, long, Math.max(1, lane - 1));
    }
    pen.globalAlpha = 1;
  }

  // Money as it came together, or tokens where nothing costs money.
  paintCurve(pen, width) {
    const { tree } = this;
    const { trace } = tree;
    const all = [...trace.calls].map(([row, call]) => ({ at: trace.start[row] + trace.lasts(row), usd: call.usd || 0, estimated: call.basis === "estimated", unpriced: Number.isNaN(call.usd), tokens: (call.input ?? 0) + (call.output ?? 0) }));
    const sum = (name) => all.reduce((total, one) => total + one[name], 0);
    const usd = sum("usd");
    const name = usd > 0 ? "usd" : "tokens";
    const most = sum(name);
    this.legend.textContent = most ? `Σ ${usd > 0 ? `${bill(usd, { estimated: all.some((one) => one.estimated), unpriced: all.some((one) => one.unpriced) })} · ` : ""}${short(sum("tokens"))} tokens` : "";
    if (!most) return;
    const whole = tree.stop - tree.start || 1;
    pen.beginPath();
    pen.moveTo(0, HEIGHT - 1);
    let reached = 0;
    for (const one of all.sort((a, b) => a.at - b.at)) {
      const x = (width * (one.at - tree.start)) / whole;
      pen.lineTo(x, HEIGHT - 1 - ((HEIGHT - 14) * reached) / most);
      reached += one[name];
      pen.lineTo(x, HEIGHT - 1 - ((HEIGHT - 14) * reached) / most);
    }
    pen.lineTo(width, HEIGHT - 1 - ((HEIGHT - 14) * reached) / most);
    pen.strokeStyle = color("--text");
    pen.lineWidth = 1.25;
    pen.stroke();
  }

  placePins() {
    const { trace, start, stop } = this.tree;
    const whole = stop - start || 1;
    const pins = trace.findings.slice(0, 200).map((one) => {
      const at = Math.min(100, Math.max(0, (100 * (one.at - start)) / whole));
      const said = `${one.severity} ${one.detector}: ${line(one.message, 200)}`;
      return h("button", { type: "button", class: `pin s-${one.severity}`, style: { left: `clamp(6px, ${at}%, 100% - 7px)` }, title: said, "aria-label": said, onclick: () => this.opened(one) });
    });
    this.pins.replaceChildren(...pins);
  }

  timeAt(event) {
    const box = this.element.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return this.tree.start + share * (this.tree.stop - this.tree.start);
  }

  point(event) {
    if (!this.tree) return;
    const box = this.element.getBoundingClientRect();
    this.hover.hidden = false;
    this.hover.style.left = `${event.clientX - box.left}px`;
    this.hover.dataset.at = this.tree.isTimed ? duration(this.timeAt(event) - this.tree.start) : "";
    this.hover.classList.toggle("left", event.clientX - box.left > box.width - 90);
  }

  press(event) {
    const from = this.timeAt(event);
    const began = event.clientX;
    drag(event, (next) => {
      if (Math.abs(next.clientX - began) < EDGE) return;
      const to = this.timeAt(next);
      this.chosen(Math.min(from, to), Math.max(from, to));
    });
  }

  close() {
    this.observer.disconnect();
    this.untheme();
  }
}
