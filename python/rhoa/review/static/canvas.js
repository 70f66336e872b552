// An image with window and level, zoom, a ruler, and a drawing over it, in the image's pixel edges.

import { element, svg } from "./marks.js";

const DRAG_LEVELS = 120; // of a drag over one pixel of the screen
const ZOOM = { step: 1.0015, least: 1, most: 12 };
const BARS_MM = [1, 2, 5, 10, 20, 50, 100];
const BAR_SHARE = 0.3; // of the stage's width, at most
// Black and white as shares of the pixels, for windows by name; null: as the image came.
export const PRESETS = {
  "as it came": null,
  "whole range": [0, 1],
  "bright bone": [0.5, 0.999],
  "thin bone": [0.05, 0.9],
};

export class Picture {
  #data = null;
  #buffer = null;
  #table = new Uint8ClampedArray(65536);

  constructor(label, { windowed = true } = {}) {
    this.canvas = element("canvas", { role: "img", "aria-label": label });
    this.drawing = svg("svg", { "aria-hidden": "true" });
    this.label = element("span", { class: "label" }, label);
    this.bar = element("span", { class: "bar", hidden: true });
    this.ends = { left: element("span", { class: "end left" }), right: element("span", { class: "end right" }) };
    this.length = element("output", { class: "length", hidden: true });
    this.line = svg("svg", { class: "ruler", "aria-hidden": "true" });
    this.stage = element("div", { class: "stage" },
      this.canvas, this.drawing, this.line, this.label, this.ends.left, this.ends.right, this.bar, this.length);
    this.onchange = () => {};
    this.inverse = false;
    this.ruling = false;
    this.#zooming();
    if (windowed) this.#dragging();
    new ResizeObserver(() => this.#placed()).observe(this.stage);
  }

  get data() {
    return this.#data;
  }

  /** Show other pixels; window and level stay where `keep` says so. */
  show(data, { keep = false } = {}) {
    const resized = this.#data?.rows !== data.rows || this.#data?.columns !== data.columns;
    this.#data = data;
    if (resized || !this.#buffer) {
      this.canvas.width = data.columns;
      this.canvas.height = data.rows;
      this.drawing.setAttribute("viewBox", `0 0 ${data.columns} ${data.rows}`);
      this.#buffer = new ImageData(data.columns, data.rows);
    }
    this.rule(false);
    if (!keep || this.black === undefined) this.reset();
    else this.paint();
    this.#placed();
  }

  /** What the left and right edge of the image are: R and L, or where they lie in the hip. */
  sides(left, right) {
    this.ends.left.textContent = left;
    this.ends.right.textContent = right;
  }

  clear(text) {
    this.#data = null;
    this.#buffer = null;
    this.canvas.width = this.canvas.height = 1;
    this.drawing.replaceChildren();
    this.rule(false);
    this.sides("", "");
    this.bar.hidden = true;
    if (text !== undefined) this.label.textContent = text;
  }

  reset() {
    if (!this.#data) return;
    ({ black: this.black, white: this.white } = this.#data);
    this.#zoom = { by: 1, x: 0, y: 0 };
    this.#placed();
    this.paint();
  }

  invert() {
    this.inverse = !this.inverse;
    this.paint();
  }

  /** Show a window of `PRESETS`. */
  preset(name) {
    if (!this.#data) return;
    const shares = PRESETS[name];
    if (shares) {
      const sorted = Uint16Array.from(this.#data.levels).sort();
      [this.black, this.white] = shares.map((share) => sorted[Math.round(share * (sorted.length - 1))]);
    } else ({ black: this.black, white: this.white } = this.#data);
    this.paint();
  }

  /** Whether a drag measures a length instead of changing the window. */
  rule(on) {
    this.ruling = on;
    this.stage.classList.toggle("ruling", on);
    this.line.replaceChildren();
    this.length.hidden = true;
  }

  /** A length between two places of the image, in words: mm where the size of pixels is known. */
  measured(one, other) {
    const pixels = Math.hypot(other.x - one.x, other.y - one.y);
    const { pixel_mm: step } = this.#data;
    return step ? `${(pixels * step).toFixed(1)} mm` : `${pixels.toFixed(1)} pixels (their size is not known)`;
  }

  paint() {
    if (!this.#data) return;
    const table = this.#table;
    const [dark, light] = this.inverse ? [this.white, this.black] : [this.black, this.white];
    const scale = 255 / (light - dark || 1);
    for (let level = 0; level < 65536; level += 1) table[level] = (level - dark) * scale;
    const { levels } = this.#data;
    const rgba = new Uint32Array(this.#buffer.data.buffer);
    for (let n = 0; n < levels.length; n += 1) {
      const grey = table[levels[n]];
      rgba[n] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    this.canvas.getContext("2d").putImageData(this.#buffer, 0, 0);
    this.onchange();
  }

  /** The place of a pointer in the image's pixel edges. */
  place(event) {
    const box = this.drawing.getBoundingClientRect();
    const { columns, rows } = this.#data;
    const scale = Math.min(box.width / columns, box.height / rows);
    return {
      x: (event.clientX - box.left - (box.width - columns * scale) / 2) / scale,
      y: (event.clientY - box.top - (box.height - rows * scale) / 2) / scale,
    };
  }

  #zoom = { by: 1, x: 0, y: 0 };

  /** Canvas and drawings where zoom and pan have them; the scale bar as long as they make it. */
  #placed() {
    const { by, x, y } = this.#zoom;
    for (const { style } of [this.canvas, this.drawing, this.line]) {
      [style.width, style.height] = [`${100 * by}%`, `${100 * by}%`];
      [style.left, style.top] = [`${x}px`, `${y}px`];
    }
    const step = this.#data?.pixel_mm;
    const { clientWidth: wide, clientHeight: high } = this.stage;
    this.bar.hidden = !step || !wide;
    if (this.bar.hidden) return;
    const { columns, rows } = this.#data;
    this.line.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    const px = (by * Math.min(wide / columns, high / rows)) / step; // of the screen, a mm
    const mm = BARS_MM.findLast((length) => length * px < BAR_SHARE * wide) ?? BARS_MM[0];
    this.bar.style.width = `${mm * px}px`;
    this.bar.textContent = `${mm} mm`;
    this.bar.dataset.mm = mm;
  }

  #zooming() {
    this.stage.addEventListener("wheel", (event) => {
      if (!this.#data) return;
      event.preventDefault();
      const box = this.stage.getBoundingClientRect();
      const before = this.#zoom;
      const by = Math.min(ZOOM.most, Math.max(ZOOM.least, before.by * ZOOM.step ** -event.deltaY));
      const grown = by / before.by;
      const [px, py] = [event.clientX - box.left, event.clientY - box.top];
      // The place under the pointer stays under it.
      this.#zoom = by === 1 ? { by, x: 0, y: 0 } : { by, x: px - (px - before.x) * grown, y: py - (py - before.y) * grown };
      this.#placed();
    }, { passive: false });
    let from = null;
    const first = { capture: true };
    this.stage.addEventListener("pointerdown", (event) => {
      const pans = event.button === 1 || (event.button === 0 && event.shiftKey);
      if (!this.#data || !(pans || (this.ruling && event.button === 0))) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      from = pans ? { x: event.clientX, y: event.clientY, zoom: this.#zoom } : { place: this.place(event) };
      this.stage.setPointerCapture(event.pointerId);
    }, first);
    this.stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      event.stopImmediatePropagation();
      if (from.place) this.#ruled(from.place, this.place(event));
      else {
        const { by, x, y } = from.zoom;
        this.#zoom = { by, x: x + event.clientX - from.x, y: y + event.clientY - from.y };
        this.#placed();
      }
    }, first);
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, (event) => {
        if (!from) return;
        event.stopImmediatePropagation();
        from = null;
      }, first);
    }
  }

  #ruled(one, other) {
    const { columns, rows } = this.#data;
    this.line.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    this.line.replaceChildren(svg("line", { x1: one.x, y1: one.y, x2: other.x, y2: other.y }));
    this.length.textContent = this.measured(one, other);
    this.length.hidden = false;
  }

  #dragging() {
    let from = null;
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.defaultPrevented || !this.#data) return;
      from = { x: event.clientX, y: event.clientY, black: this.black, white: this.white };
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      const wider = (event.clientX - from.x) * DRAG_LEVELS;
      const higher = (event.clientY - from.y) * DRAG_LEVELS;
      const middle = (from.black + from.white) / 2 + higher;
      const half = Math.max(200, (from.white - from.black) / 2 + wider / 2);
      this.black = middle - half;
      this.white = middle + half;
      this.paint();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, () => (from = null));
    }
    this.stage.addEventListener("dblclick", () => this.reset());
  }
}

/** Buttons and keys of a view's pictures: window, invert, ruler; `main` is the one that is measured. */
export function pictureTools(pictures, main = pictures[0]) {
  const names = Object.keys(PRESETS);
  const every = (run) => pictures.forEach((one) => one.data && run(one));
  const windows = element("select", { "aria-label": "Window", onchange: () => every((one) => one.preset(windows.value)) },
    ...names.map((name) => element("option", {}, name)));
  const ruler = element("button", { type: "button", "aria-pressed": "false", onclick: rule, title: "Drag to measure" }, element("kbd", {}, "d"), " Ruler");
  function rule() {
    main.rule(!main.ruling);
    ruler.setAttribute("aria-pressed", String(main.ruling));
  }
  const invert = () => every((one) => one.invert());
  function reset() {
    windows.value = names[0];
    main.rule(false);
    ruler.setAttribute("aria-pressed", "false");
    every((one) => one.reset());
  }
  const bar = element("div", { class: "row picture-tools" },
    windows,
    element("button", { type: "button", onclick: invert, title: "Black for white" }, element("kbd", {}, "i"), " Invert"),
    ruler,
    element("button", { type: "button", onclick: reset, title: "Window and zoom as at first" }, element("kbd", {}, "w"), " Reset"));
  const keys = [
    ["v", "next window preset", () => {
      windows.value = names[(names.indexOf(windows.value) + 1) % names.length];
      every((one) => one.preset(windows.value));
    }],
    ["i", "invert: black for white", invert],
    ["d", "ruler: drag to measure in mm", rule],
    ["w", "window and zoom as at first (wheel zooms; Shift or middle button drags)", reset],
  ];
  return { bar, keys, shown: () => ruler.setAttribute("aria-pressed", String(main.ruling)) };
}
