// Boxes: moved, resized, drawn, deleted, mirrored; and the halves that a detector is taught with.

import { element, rectangle, SIDES, svg } from "./marks.js";
import { inView } from "./keys.js";
import { Picture } from "./canvas.js";
import { get } from "./server.js";

const LEAST = 4; // pixels of a box
const CORNERS = { nw: ["top", "left"], ne: ["top", "right"], sw: ["bottom", "left"], se: ["bottom", "right"] };
const EDGES = ["top", "left", "bottom", "right"];

export function boxes(app, root, number) {
  const cases = app.pictured;
  if (!cases.length) {
    root.append(element("p", { class: "waiting" }, "This cohort has crops alone: there is nothing to draw boxes on."));
    return () => {};
  }
  const image = new Picture("image", { windowed: false });
  const halves = SIDES.map((side) => new Picture(side === "left" ? "left half" : "right half, mirrored", { windowed: false }));
  const crops = SIDES.map((side) => new Picture(side === "left" ? "left hip" : "right hip, mirrored", { windowed: false }));
  const title = element("h2", {});
  const told = element("span", { class: "quiet" });
  const tools = element("div", { class: "row" });
  const sides = element("div", { class: "row", role: "group", "aria-label": "Box" });
  let at = -1;
  let detail = null;
  let chosen = "left";
  let drag = null;

  root.append(
    element("div", { class: "work" },
      image.stage,
      element("div", { class: "side" },
        element("div", { class: "pair" }, halves[1].stage, halves[0].stage),
        element("div", { class: "pair" }, crops[1].stage, crops[0].stage),
        element("div", { class: "panel" },
          element("div", { class: "row wide" }, title, told), sides, tools)))
  );

  async function show(next) {
    if (next < 0 || next >= cases.length) return;
    const key = cases[next].key;
    const found = await app.tried(() => Promise.all([app.shelf.get(`cases/${key}/image`), get(`cases/${key}`)]));
    if (!found) return;
    at = next;
    app.number = cases[next].number;
    [, detail] = found;
    chosen = detail.boxes[chosen] || !detail.boxes.right ? chosen : "right";
    image.show(found[0]);
    image.sides("R", "L");
    draw();
    if (at + 1 < cases.length) app.shelf.ahead(`cases/${cases[at + 1].key}/image`);
  }

  const box = (side = chosen) => detail.boxes[side] ?? null;

  function draw() {
    const summary = app.case(cases[at].key);
    title.textContent = `Case ${summary.number}`;
    const refused = summary.refused[chosen];
    const why = refused ? ` · ${chosen} hip is not graded: ${refused}; draw or move its box to take it in` : "";
    told.textContent = `${at + 1} of ${cases.length}${summary.boxes_accepted ? " · accepted" : ""}${why}`;
    image.label.textContent = "drag to move or resize; drag beside a box to draw the chosen one";
    image.drawing.replaceChildren(
      ...SIDES.filter((side) => box(side)).flatMap((side) => [
        rectangle(box(side), `box movable ${side} ${side === chosen ? "chosen" : ""}`),
        ...(side === chosen ? handles(box(side), side) : []),
      ]),
    );
    sides.replaceChildren(...SIDES.map((side) => element("button", {
      type: "button", "aria-pressed": String(side === chosen), onclick: () => choose(side),
    }, element("kbd", {}, side[0]), ` ${side} hip${box(side) ? "" : " (no box)"}`)));
    const tool = (key, text, run, off = false) =>
      element("button", { type: "button", onclick: run, disabled: off }, element("kbd", {}, key), ` ${text}`);
    tools.replaceChildren(
      tool("a", "Accept, next", accept),
      tool("m", "Mirror", mirror, !box()),
      tool("Del", "Delete", remove, !box()),
      tool("u", "Undo", takeBack),
    );
    aside();
  }

  function handles(edges, side) {
    const named = Object.fromEntries(EDGES.map((name, n) => [name, edges[n]]));
    return Object.entries(CORNERS).flatMap(([corner, [down, across]]) => {
      const d = `M${named[across]} ${named[down]}h0`;
      return [
        svg("path", { class: `hold ${corner}`, d, "data-corner": corner }),
        svg("path", { class: `handle ${side}`, d, "pointer-events": "none" }),
      ];
    });
  }

  /** Halves and hips, from the pixels that are shown. */
  function aside() {
    const { rows, columns } = image.data;
    const half = Math.floor(columns / 2);
    SIDES.forEach((side, n) => {
      const mirrored = side === "right";
      const start = mirrored ? 0 : half;
      const width = mirrored ? Math.ceil(columns / 2) : columns - half;
      cut(halves[n], [0, start, rows, start + width], mirrored);
      const edges = box(side);
      const lines = [];
      if (edges) {
        const [top, left, bottom, right] = edges;
        const moved = mirrored ? [top, width - right, bottom, width - left] : [top, left - start, bottom, right - start];
        lines.push(rectangle(moved, `box ${side}`));
        cut(crops[n], edges, mirrored);
      } else crops[n].clear();
      halves[n].drawing.replaceChildren(...lines);
    });
  }

  function cut(picture, [top, left, bottom, right], mirrored) {
    const scale = Math.max(1, 256 / Math.max(bottom - top, right - left));
    const [rows, columns] = [Math.max(1, Math.round((bottom - top) * scale)), Math.max(1, Math.round((right - left) * scale))];
    picture.canvas.width = columns;
    picture.canvas.height = rows;
    picture.drawing.setAttribute("viewBox", `0 0 ${(right - left)} ${(bottom - top)}`);
    const context = picture.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    if (mirrored) context.setTransform(-1, 0, 0, 1, columns, 0);
    context.drawImage(image.canvas, left, top, right - left, bottom - top, 0, 0, columns, rows);
  }

  function choose(side) {
    chosen = side;
    draw();
  }

  async function save(side = chosen) {
    const edges = box(side);
    const saved = await app.act({ do: "box", case: cases[at].key, side, box: edges });
    app.shelf.forget(`${cases[at].key}/hip`);
    if (!saved) await show(at);
    else draw();
  }

  async function accept() {
    if (await app.act({ do: "accept boxes", case: cases[at].key })) {
      if (at + 1 < cases.length) await show(at + 1);
      else {
        draw();
        app.say("that was the last case");
      }
    }
  }

  async function remove() {
    if (!box()) return;
    delete detail.boxes[chosen];
    await save();
  }

  /** The chosen box on the other side of the pelvis. */
  async function mirror() {
    if (!box()) return;
    const [top, left, bottom, right] = box();
    const middle = detail.posed ? 0.5 - detail.origin_mm[0] / detail.pixel_mm : detail.shape[1] / 2;
    const side = SIDES.find((one) => one !== chosen);
    detail.boxes[side] = [top, 2 * middle - right, bottom, 2 * middle - left];
    chosen = side;
    await save(side);
  }

  async function takeBack() {
    const key = cases[at].key;
    if (!(await app.undo("boxes", key))) return;
    app.shelf.forget(`${key}/hip`);
    await show(at);
  }

  const nudge = (down, across, grow = false) => () => {
    if (!box()) return;
    const [top, left, bottom, right] = box();
    const edges = grow
      ? [top - down, left - across, bottom + down, right + across]
      : [top + down, left + across, bottom + down, right + across];
    if (edges[2] - edges[0] < LEAST || edges[3] - edges[1] < LEAST) return;
    detail.boxes[chosen] = edges;
    draw();
    save();
  };

  image.stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !detail) return;
    event.preventDefault();
    const place = image.place(event);
    const corner = event.target.dataset?.corner;
    const over = SIDES.find((side) => event.target.classList?.contains("movable") && event.target.classList.contains(side));
    if (over) chosen = over;
    const start = box() && [...box()];
    drag = corner ? { corner, start, place } : over ? { move: true, start, place } : { drawn: true, start, place };
    image.stage.setPointerCapture(event.pointerId);
    draw();
  });
  image.stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    detail.boxes[chosen] = dragged(drag, image.place(event)) ?? drag.start;
    if (!detail.boxes[chosen]) delete detail.boxes[chosen];
    draw();
  });
  image.stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const edges = dragged(drag, image.place(event));
    const changed = edges && String(edges) !== String(drag.start);
    detail.boxes[chosen] = changed ? edges : drag.start;
    if (!detail.boxes[chosen]) delete detail.boxes[chosen];
    drag = null;
    if (changed) save();
    else draw();
  });

  inView([
    ["a / Enter", "accept the boxes, and next", accept],
    ["l", "choose the left hip's box", () => choose("left")],
    ["r", "choose the right hip's box", () => choose("right")],
    ["m", "mirror the box to the other side", mirror],
    ["Delete / Backspace", "delete the box", remove],
    ["u / Ctrl+z", "undo in this case", takeBack],
    ["ArrowUp", "move the box up", nudge(-1, 0)],
    ["ArrowDown", "move the box down", nudge(1, 0)],
    ["ArrowLeft", "move the box left", nudge(0, -1)],
    ["ArrowRight", "move the box right", nudge(0, 1)],
    ["+", "larger by a pixel all around", nudge(1, 1, true)],
    ["-", "smaller by a pixel all around", nudge(-1, -1, true)],
    ["PageDown / .", "next case", () => show(at + 1)],
    ["PageUp / ,", "case before", () => show(at - 1)],
  ]);
  const wanted = cases.findIndex((one) => one.number === number);
  const first = cases.findIndex((one) => !one.boxes_accepted);
  show(Math.max(0, wanted >= 0 ? wanted : first));
  return () => {};
}

/** Edges that a drag makes; null where they are too small to be meant. */
function dragged({ corner, move, start, place }, now) {
  const [down, across] = [now.y - place.y, now.x - place.x];
  if (move) return [start[0] + down, start[1] + across, start[2] + down, start[3] + across];
  if (corner) {
    const edges = [...start];
    const [vertical, horizontal] = CORNERS[corner];
    edges[EDGES.indexOf(vertical)] += down;
    edges[EDGES.indexOf(horizontal)] += across;
    return edges[2] - edges[0] < LEAST || edges[3] - edges[1] < LEAST ? null : edges;
  }
  const edges = [Math.min(place.y, now.y), Math.min(place.x, now.x), Math.max(place.y, now.y), Math.max(place.x, now.x)];
  return edges[2] - edges[0] < LEAST || edges[3] - edges[1] < LEAST ? null : edges;
}
