// Rows of equal height of which only those in sight are in the page. The elements are used again while one scrolls.

import { h, once } from "./dom.js";

const SPARE = 6;

export class List {
  // `make()` gives a row's element, `fill(element, index)` puts content into it. `scroller` may hold a header above.
  constructor({ scroller, height, make, fill, label = "rows" }) {
    this.scroller = scroller;
    this.height = height;
    this.make = make;
    this.fill = fill;
    this.count = 0;
    this.version = 0;
    this.slots = [];
    this.body = h("div", { class: "rows", role: "rowgroup", "aria-label": label });
    scroller.append(this.body);
    this.draw = once(() => this.render());
    scroller.addEventListener("scroll", this.draw, { passive: true });
    this.observer = new ResizeObserver(this.draw);
    this.observer.observe(scroller);
  }

  // The rows are others now. Who looks at the last of `growing` rows goes on looking at the last.
  reset(count, growing = false) {
    const { scroller } = this;
    const atEnd = (growing || this.growing) && scroller.scrollTop > 0 && scroller.scrollTop + scroller.clientHeight > scroller.scrollHeight - this.height;
    this.count = count;
    this.growing = growing; // what comes with the news that it is over is the end of it
    this.version += 1;
    this.body.style.height = `${count * this.height}px`;
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
    this.draw();
  }

  // The rows are the same, their content is not.
  refresh() {
    this.version += 1;
    this.draw();
  }

  render() {
    const above = this.body.offsetTop;
    const top = Math.max(0, this.scroller.scrollTop - above);
    const room = Math.ceil(this.scroller.clientHeight / this.height) + 2 * SPARE + 1;
    while (this.slots.length < room) {
      const element = this.make();
      element.hidden = true;
      element.style.height = `${this.height}px`;
      this.slots.push({ element, index: -1, version: -1 });
      this.body.append(element);
    }
    const size = this.slots.length;
    const first = Math.max(0, Math.floor(top / this.height) - SPARE);
    for (let index = first; index < first + size; index++) {
      const slot = this.slots[index % size];
      if (index >= this.count) {
        if (slot.index !== -1) slot.element.hidden = true;
        slot.index = -1;
      } else if (slot.index !== index || slot.version !== this.version) {
        if (slot.index !== index) slot.element.style.transform = `translateY(${index * this.height}px)`;
        slot.element.hidden = false;
        slot.index = index;
        slot.version = this.version;
        this.fill(slot.element, index);
      }
    }
  }

  // The index of the row that an element belongs to.
  indexOf(target) {
    const element = target.closest(".rows > *");
    return this.slots.find((slot) => slot.element === element)?.index ?? -1;
  }

  elementAt(index) {
    return this.slots.find((slot) => slot.index === index)?.element;
  }

  // Scroll so that the row is in sight.
  reveal(index) {
    const { scroller, height } = this;
    const header = this.body.offsetTop;
    const top = index * height;
    const seen = scroller.scrollTop;
    const room = scroller.clientHeight - header;
    if (top < seen) scroller.scrollTop = Math.max(0, top - height);
    else if (top + height > seen + room) scroller.scrollTop = top + 2 * height - room;
    this.render();
  }

  close() {
    this.observer.disconnect();
  }
}
