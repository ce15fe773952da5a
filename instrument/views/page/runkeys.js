// What the keys do in a run.

import { copy } from "./dom.js";
import { moved } from "./keys.js";
import { wordOf } from "./query.js";

const LINE = 24;

// Does what the key asks for; false where it asks for nothing.
export function runKey(view, event) {
  const { key } = event;
  if (key === "/") view.filterbar.focus();
  else if (key >= "1" && key <= "4") view.turnTo(Number(key) - 1);
  else if (key === "Escape") view.leave();
  else if (key === "d") view.compare();
  else if (key === "w") view.head.file?.click();
  else if (key === "y") view.why.toggle();
  else if (key === "l") view.toggleLogs();
  else if (key === "p") view.filterbar.choose("is", wordOf(view.filterbar.query, "is") ? "" : "critical");
  else if (key === "c") copy(location.href).then((done) => view.filterbar.say(done ? "link copied" : "the browser does not allow copying"));
  else return view.onTimeLine() ? timeKey(view, event) || rowKey(view, event) : scrollKey(view.scrolled(), key);
  return true;
}

// Where nothing is selected the keys of rows scroll.
function scrollKey(scroller, key) {
  const to = moved(key, Math.round(scroller.scrollTop / LINE), Math.ceil(scroller.scrollHeight / LINE) + 1);
  if (to !== null) scroller.scrollTop = to * LINE;
  return to !== null;
}

function timeKey(view, { key, shiftKey }) {
  const { waterfall, tree } = view;
  if (key === "+" || key === "=") waterfall.zoom(0.7);
  else if (key === "-" || key === "−") waterfall.zoom(1 / 0.7);
  else if (key === "0") view.zoom(tree.start, tree.stop);
  else if (shiftKey && key === "ArrowLeft") waterfall.pan(-0.2);
  else if (shiftKey && key === "ArrowRight") waterfall.pan(0.2);
  else if (key === "[" || key === "]") waterfall.setShare(waterfall.share + (key === "]" ? 3 : -3));
  else if (key === "f" && waterfall.chosen >= 0) view.zoomTo(waterfall.chosen);
  else return false;
  return true;
}

function rowKey(view, { key }) {
  const { waterfall, trace, tree } = view;
  const { list } = view.sight;
  const index = waterfall.chosenIndex();
  const to = moved(key, index, list.length);
  if (to !== null) list.length && view.chooseEntry(list[to]);
  else if (key === "e" || key === "E") nextRow(view, (row) => trace.errors.has(row) && isOrigin(trace, tree, row), key === "e");
  else if (key === "n" || key === "N") nextRow(view, (row) => waterfall.findingsOf(row).length > 0, key === "n");
  else if (key === "x" || key === "X") view.foldAll(key === "x");
  else return index >= 0 && list[index] >= 0 && treeKey(view, key, list[index], index);
  return true;
}

function treeKey(view, key, row, index) {
  const { tree } = view;
  const below = tree.first[row] >= 0;
  const folded = view.sight.isShut(tree, row);
  if (key === "Enter" || key === "o") view.panel.shows(row) ? view.panel.element.focus() : view.open(row);
  else if (key === " " || (key === "ArrowRight" && folded)) view.toggle(row);
  else if (key === "ArrowRight" && below) view.chooseEntry(view.sight.list[index + 1]);
  else if (key === "ArrowRight") view.open(row);
  else if (key === "ArrowLeft" && below && !folded) view.toggle(row);
  else if (key === "ArrowLeft" && tree.parent[row] >= 0) view.chooseEntry(tree.parent[row]);
  else return key === "ArrowLeft";
  return true;
}

// Whether a failure began here and was not let through from below.
function isOrigin(trace, tree, row) {
  return !tree.children(row).some((child) => trace.errors.get(child) === trace.errors.get(row));
}

// The next row in the order of the tree that is what is looked for, in sight or not.
function nextRow(view, test, forward) {
  const { order, place } = view.tree;
  const { chosen } = view.waterfall;
  const from = chosen >= 0 ? place[chosen] : forward ? -1 : order.length;
  for (let step = 1; step <= order.length; step++) {
    const at = (((forward ? from + step : from - step) % order.length) + order.length) % order.length;
    if (test(order[at])) {
      view.jump(order[at]);
      return;
    }
  }
}
