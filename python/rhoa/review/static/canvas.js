// An image with window and level, and a drawing over it, in the image's pixel edges.

import { element, svg } from "./marks.js";

const DRAG_LEVELS = 120; // of a drag over one pixel of the screen

export class Picture {
  #data = null;
  #buffer = null;
  #table = new Uint8ClampedArray(65536);

  constructor(label, { windowed = true } = {}) {
    this.canvas = element("canvas", { role: "img", "aria-label": label });
    this.drawing = svg("svg", { "aria-hidden": "true" });
    this.label = element("span", { class: "label" }, label);
    this.stage = element("div", { class: "stage" }, this.canvas, this.drawing, this.label);
    this.onchange = () => {};
    if (windowed) this.#dragging();
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
    if (!keep || this.black === undefined) this.reset();
    else this.paint();
  }

  clear(text) {
    this.#data = null;
    this.#buffer = null;
    this.canvas.width = this.canvas.height = 1;
    this.drawing.replaceChildren();
    if (text !== undefined) this.label.textContent = text;
  }

  reset() {
    if (!this.#data) return;
    ({ black: this.black, white: this.white } = this.#data);
    this.paint();
  }

  paint() {
    if (!this.#data) return;
    const table = this.#table;
    const scale = 255 / Math.max(1, this.white - this.black);
    for (let level = 0; level < 65536; level += 1) table[level] = (level - this.black) * scale;
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
