// Both trees of a comparison in one, row by row from the top: what differs, what is folded, what is in sight.

export const SAME = 0, CHANGED = 1, ONLY_A = 2, ONLY_B = 3;
const MOST_OPEN = 300; // more rows than this are not opened by themselves

export class BothTrees {
  // `before` are the same trees as they were when the runs were shorter: what was folded stays so.
  constructor(told, before = null) {
    Object.assign(this, told.rows);
    this.words = told.words;
    this.size = this.depth.length;
    this.changesOf = new Map(this.changes);
    this.state = Uint8Array.from(this.depth, (_, row) => (this.b.id[row] === null ? ONLY_A : this.a.id[row] === null ? ONLY_B : this.changesOf.has(row) ? CHANGED : SAME));
    this.measure();
    this.turned = new Map();
    this.limit = Infinity;
    this.first = told.first?.row ?? -1;
    if (before) this.foldAs(before);
    else if (this.look(false).length > MOST_OPEN) this.limit = 2;
  }

  foldAs(before) {
    this.limit = before.limit;
    for (const [row, shut] of before.turned) this.turned.set(this.rowFrom(before, row), shut);
  }

  // Where a row of the trees before stands now; the call of a row may have found its like in the other run.
  rowFrom(before, row) {
    this.places ??= this.idsAsPlaces();
    return this.places.get(before.a.id[row]) ?? this.places.get(before.b.id[row]) ?? -1;
  }

  idsAsPlaces() {
    const places = new Map();
    for (const { id } of [this.b, this.a]) id.forEach((one, row) => one !== null && places.set(one, row));
    return places;
  }

  // Where each subtree ends, the row above each, and how many rows differ below it.
  measure() {
    this.end = new Int32Array(this.size);
    this.parent = new Int32Array(this.size).fill(-1);
    this.below = new Int32Array(this.size);
    const above = [];
    const close = (depth, at) => {
      while (above.length > depth) this.end[above.pop()] = at;
    };
    for (let row = 0; row < this.size; row++) {
      close(this.depth[row], row);
      if (above.length) this.parent[row] = above.at(-1);
      above.push(row);
    }
    close(0, this.size);
    for (let row = this.size - 1; row >= 0; row--) if (this.parent[row] >= 0) this.below[this.parent[row]] += this.below[row] + this.differs(row);
    this.differing = 0;
    for (let row = 0; row < this.size; row++) this.differing += this.differs(row);
  }

  // What lies below a call that only one side has is no difference of its own.
  differs(row) {
    const state = this.state[row];
    if (state === SAME) return 0;
    return state !== CHANGED && this.parent[row] >= 0 && this.state[this.parent[row]] === state ? 0 : 1;
  }

  hasChildren(row) {
    return this.end[row] > row + 1;
  }

  // Folded by itself is what is on one side only, what is the same, and in a huge comparison what lies deep.
  isShut(row) {
    if (!this.hasChildren(row)) return false;
    const turned = this.turned.get(row);
    if (turned !== undefined) return turned;
    if (this.state[row] >= ONLY_A || (this.below[row] === 0 && this.depth[row] > 0)) return true;
    return this.depth[row] + 1 >= this.limit && !(row < this.first && this.first < this.end[row]);
  }

  turn(row, shut = !this.isShut(row)) {
    this.turned.set(row, shut);
  }

  turnAll(shut) {
    this.turned.clear();
    for (let row = 0; row < this.size; row++) if (this.hasChildren(row) && (!shut || this.depth[row] > 0)) this.turned.set(row, shut);
  }

  // Opens everything above a row.
  expose(row) {
    for (let above = this.parent[row]; above >= 0; above = this.parent[above]) this.turn(above, false);
  }

  // The rows in sight, from the top: all of them, or what differs and the way to it.
  look(all) {
    const list = [];
    let row = 0;
    while (row < this.size) {
      const wanted = all || this.state[row] !== SAME || this.below[row] > 0;
      if (wanted) list.push(row);
      row = !wanted || this.isShut(row) ? this.end[row] : row + 1;
    }
    return list;
  }

  rowOf(span) {
    const at = this.a.id.indexOf(span);
    return at >= 0 ? at : this.b.id.indexOf(span);
  }
}
