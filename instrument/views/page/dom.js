// Elements from plain words. Text is always text: nothing here reads markup.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function button(label, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, label);
}

// Puts other content into an element; who stands on a link or button there stands on the one in its place.
export function refill(element, ...children) {
  const ways = () => [...element.querySelectorAll("a, button")];
  const place = ways().indexOf(document.activeElement);
  element.replaceChildren(...children);
  ways()[place]?.focus({ preventScroll: true });
}

// Tells `move` of the pointer from the event that pressed it until it is let go.
export function drag(event, move) {
  const ends = ["pointerup", "pointercancel"];
  const stop = () => {
    removeEventListener("pointermove", move);
    for (const end of ends) removeEventListener(end, stop);
  };
  addEventListener("pointermove", move);
  for (const end of ends) addEventListener(end, stop);
  event.preventDefault();
}

// A button that copies what `give` gives (a text or a promise of one) and says so for a moment.
export function copyButton(give, label = "Copy") {
  const made = button(label, async () => {
    const done = await copy(await give());
    made.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (made.textContent = label), 1200);
  }, { class: "quiet copy" });
  return made;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByHand(text);
  }
}

// Files that were opened from disk may have no clipboard of their own.
function copyByHand(text) {
  const area = h("textarea", { class: "away", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

// Calls `work` once in the next frame, however often it is asked.
export function once(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

export function later(work, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(work, ms, ...args);
  };
}

export function remembered(name, otherwise) {
  try {
    return localStorage.getItem(`instrument.${name}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`instrument.${name}`, value);
  } catch {
    // a file that was opened from disk may not be allowed to
  }
}
