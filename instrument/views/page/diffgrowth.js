// What comes to a comparison that is shown already, while one of its runs is still recorded.

const SOONEST_MS = 500;
const RESTS = 4; // so many times what the last comparison took passes before the next one

// Asks for the comparison again when one of the runs has grown, and gives it to `heard`; gives a function that stops it.
export function followDiff({ source, ids, state, heard, connected }) {
  let timer = 0;
  let [asking, again, failed, stopped] = [false, false, false, false];
  let [took, ended] = [0, -Infinity];
  const soon = () => {
    if (stopped || timer) return;
    if (asking) again = true;
    else timer = setTimeout(ask, Math.max(0, ended + Math.max(SOONEST_MS, RESTS * took) - performance.now()));
  };
  const ask = async () => {
    [timer, asking, again, failed] = [0, true, false, false];
    const began = performance.now();
    let told = null;
    try {
      told = await source.diff(...ids, state());
    } catch {
      failed = true; // what is shown stays
    }
    asking = false;
    if (stopped) return;
    if (told) heard(told);
    ended = performance.now();
    if (told) took = ended - began;
    if (again) soon();
  };
  const recorded = new Set(); // of the two runs, those that are there: one may be waited for
  const stop = source.follow({}, (what, told) => {
    if (what === "connected") connected(told);
    const grown = what === "runs" ? told.rows.map((row) => row.id).filter((id) => ids.includes(id)) : [];
    for (const id of grown) recorded.add(id);
    if ((grown.length || (failed && told === true)) && ids.every((id) => recorded.has(id))) soon();
  });
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}
