// Pose: landmarks over the CT-AP and the side view; dragged, they make the CT-AP anew at once.

import { degrees, element, flags, offImage, onImage, POINTS, sideOf, svg } from "./marks.js";
import { ask, inView } from "./keys.js";
import { Picture, pictureTools } from "./canvas.js";
import { get, pixels } from "./server.js";

const DEPTH = { least: -100, most: 250 };
const REASONS = ["hip not inside", "not a pelvis", "metal or artefacts", "landmarks cannot be told", "other"];

export function pose(app, root, number) {
  const cases = app.pictured.filter((one) => one.source === "ct");
  if (!cases.length) {
    root.append(element("p", { class: "waiting" }, "This cohort has no CT-AP: there is no pose to review."));
    return () => {};
  }
  const front = new Picture("from the front");
  const aside = new Picture("from the left");
  const pair = element("div", { class: "pair big" }, front.stage, aside.stage);
  const title = element("h2", {});
  const told = element("span", { class: "quiet" });
  const facts = element("dl", { class: "facts" });
  const chips = element("div", {});
  const sliders = element("div", { class: "panel" });
  const tools = element("div", { class: "row" });
  let at = -1;
  let about = null; // where the shown image lies
  let landmarks = null;
  let depth = null;
  let lateral = null;
  let chosen = "asis_left";
  let drag = null;
  let waiting = false;
  let running = false;

  const { bar: pictureBar, keys: toolKeys, shown: toolsShown } = pictureTools([front, aside]);

  root.append(element("div", { class: "work" },
    pair,
    element("div", { class: "side" },
      element("div", { class: "panel" }, element("div", { class: "row wide" }, title, told), facts, chips, tools, pictureBar),
      sliders,
      element("p", { class: "quiet" }, "Dots: iliac spines and pubic tubercles, the patient's left in blue. Drag an image to change its window (sideways) and level (up and down)."))));

  const summary = () => app.case(cases[at].key);

  async function show(next) {
    if (next < 0 || next >= cases.length) return;
    const { key } = cases[next];
    const found = await app.tried(() => Promise.all([get(`cases/${key}`), app.shelf.get(`cases/${key}/image`)]));
    if (!found) return;
    at = next;
    app.number = cases[next].number;
    [about] = found;
    landmarks = about.landmarks ?? about.suggested;
    depth = about.depth_mm;
    lateral = null;
    front.show(found[1]);
    front.sides("R", "L");
    toolsShown();
    aside.clear("from the left: loading …");
    const { movable } = summary();
    pair.classList.toggle("alone", !movable);
    aside.stage.hidden = !movable;
    draw();
    front.stage.dataset.case = summary().number;
    if (movable) side(next, key);
    if (at + 1 < cases.length) app.shelf.ahead(`cases/${cases[at + 1].key}/image`);
  }

  async function side(shown, key) {
    const data = await app.tried(() => app.shelf.get(`cases/${key}/lateral`));
    if (!data || at !== shown) return;
    lateral = { ...data, inverse: inverted(data.affine) };
    aside.show(data);
    aside.sides("A", "P");
    aside.label.textContent = "from the left, as scanned";
    draw();
  }

  /** Where a point lies in the side view. */
  function onSide(point) {
    const [k, j] = applied(lateral.inverse, point);
    return { x: lateral.across[0] * j + lateral.across[1], y: lateral.down[0] * k + lateral.down[1] };
  }

  /** The point at a place of the side view; how far to the left it lies stays as it was. */
  function offSide({ x, y }, before) {
    const index = applied(lateral.inverse, before);
    index[1] = (x - lateral.across[1]) / lateral.across[0];
    index[0] = (y - lateral.down[1]) / lateral.down[0];
    return applied(lateral.affine, index);
  }

  function draw() {
    const one = summary();
    title.textContent = `Case ${one.number}`;
    told.textContent = `${at + 1} of ${cases.length}`;
    front.label.textContent = about.posed ? "CT-AP in the anterior pelvic plane" : "CT-AP as scanned";
    chips.replaceChildren(flags(one));
    const rows = one.angles
      ? [["tilt", degrees(one.angles.tilt)], ["obliquity", degrees(one.angles.obliquity)], ["rotation", degrees(one.angles.rotation)]]
      : [["pose", "not found"]];
    if (one.reason) rows.push(["reason", one.reason]);
    if (!one.movable) rows.push(["CT", "not known: start with --scans to move points"]);
    facts.replaceChildren(...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
    const tool = (key, text, run, off = false) =>
      element("button", { type: "button", onclick: run, disabled: off }, element("kbd", {}, key), ` ${text}`);
    tools.replaceChildren(
      tool("a", "Accept, next", accept, !landmarks),
      tool("r", "Reject", reject),
      tool("z", "Reset", reset, !one.moved && !depth),
      tool("u", "Undo", takeBack),
    );
    marks();
    ranges();
  }

  function marks() {
    const lines = (place, view) => {
      if (!landmarks) return [];
      const spots = Object.entries(landmarks).map(([name, point]) => [name, place(point)]);
      const where = Object.fromEntries(spots);
      const middle = (one, other) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
      const [from, to] = view === "front"
        ? [where.asis_left, where.asis_right]
        : [middle(where.asis_left, where.asis_right), middle(where.pubic_tubercle_left, where.pubic_tubercle_right)];
      return [
        svg("line", { class: "line", x1: from.x, y1: from.y, x2: to.x, y2: to.y }),
        ...spots.flatMap(([name, { x, y }]) => {
          const d = `M${x} ${y}h0`;
          const kind = `${sideOf(name)} ${name === chosen ? "chosen" : ""}`;
          return [
            svg("path", {
              class: "grip", d, "data-point": name, tabindex: summary().movable ? 0 : null,
              role: "slider", "aria-label": POINTS[name], "aria-valuetext": landmarks[name].map((mm) => mm.toFixed(0)).join(", "),
              onfocus: () => (chosen = name),
            }, svg("title", {}, POINTS[name])),
            svg("path", { class: `dot ${kind}`, d, "pointer-events": "none" }),
          ];
        }),
      ];
    };
    front.drawing.replaceChildren(...lines((point) => onImage(about, point), "front"));
    front.drawing.removeAttribute("aria-hidden");
    aside.drawing.replaceChildren(...(lateral ? lines(onSide, "side") : []));
    aside.drawing.removeAttribute("aria-hidden");
  }

  function ranges() {
    const [low, high] = depth ?? [DEPTH.least, DEPTH.most];
    const off = !summary().movable;
    const slider = (name, value, change) => {
      const shown = element("output", {}, depth ? `${value} mm` : "all");
      return [element("label", { for: name }, name), element("input", {
        type: "range", id: name, min: DEPTH.least, max: DEPTH.most, step: 5, value, disabled: off,
        "aria-label": `depth, ${name}, mm behind the plane`,
        oninput: (event) => change(Number(event.target.value)),
        onchange: savePose,
      }), shown];
    };
    if (sliders.contains(document.activeElement) && document.activeElement.type === "range") {
      sliders.querySelectorAll("output").forEach((one, n) => (one.textContent = depth ? `${[low, high][n]} mm` : "all"));
      return;
    }
    sliders.replaceChildren(
      element("div", { class: "row wide" }, element("h2", {}, "Depth behind the plane"),
        element("button", { type: "button", disabled: off || !depth, onclick: () => setDepth(null) }, "all")),
      element("div", { class: "slider" }, ...slider("front", low, (value) => setDepth([Math.min(value, high - 5), high], true))),
      element("div", { class: "slider" }, ...slider("back", high, (value) => setDepth([low, Math.max(value, low + 5)], true))),
    );
    sliders.onfocusout = () => setTimeout(() => at >= 0 && about && ranges());
  }

  function setDepth(range, live = false) {
    depth = range && range[0] <= DEPTH.least && range[1] >= DEPTH.most ? null : range;
    ranges();
    preview();
    if (!live) savePose();
  }

  /** Make the image anew; while it is being made, only the last wish waits. */
  async function preview() {
    waiting = true;
    if (running || !summary().movable) return;
    running = true;
    while (waiting) {
      waiting = false;
      const shown = at;
      const data = await app.tried(() => pixels("preview", { case: cases[at].key, landmarks, depth_mm: depth }));
      if (!data || at !== shown) break;
      about = { ...about, ...data };
      front.show(data, { keep: true });
      front.label.textContent = "CT-AP in the anterior pelvic plane";
      front.stage.dataset.remade = Number(front.stage.dataset.remade ?? 0) + 1;
      marks();
    }
    running = false;
  }

  async function savePose() {
    const { key } = cases[at];
    app.shelf.forget(`${key}/image`);
    app.shelf.forget(`${key}/hip`);
    if (!(await app.act({ do: "pose", case: key, landmarks, depth_mm: depth }))) return false;
    draw();
    return true;
  }

  async function accept() {
    if (!landmarks) return;
    const one = summary();
    if (!one.used && one.movable && !(await savePose())) return;
    if (!(await app.act({ do: "judge", case: one.key, verdict: "accepted" }))) return;
    await onward();
  }

  async function reject() {
    const reason = await ask("Why is the pose rejected?", REASONS);
    if (reason && (await app.act({ do: "judge", case: cases[at].key, verdict: "rejected", reason }))) await onward();
  }

  async function onward() {
    if (at + 1 < cases.length) await show(at + 1);
    else {
      draw();
      app.say("that was the last case");
    }
  }

  async function reset() {
    const { key } = cases[at];
    if (await app.act({ do: "pose", case: key, landmarks: null, depth_mm: null })) await again(key);
  }

  async function takeBack() {
    const { key } = cases[at];
    if (await app.undo("pose", key)) await again(key);
  }

  async function again(key) {
    app.shelf.forget(`${key}/image`);
    app.shelf.forget(`${key}/hip`);
    await show(at);
  }

  for (const picture of [front, aside]) {
    picture.stage.addEventListener("pointerdown", (event) => {
      const name = event.target.dataset?.point;
      if (!name || event.button !== 0) return;
      event.preventDefault();
      if (!summary().movable) return;
      chosen = name;
      drag = picture;
      picture.stage.setPointerCapture(event.pointerId);
      marks();
    }, { capture: true });
    picture.stage.addEventListener("pointermove", (event) => {
      if (drag !== picture) return;
      const place = picture.place(event);
      const before = landmarks[chosen];
      const moved = picture === front ? offImage(about, place, before) : offSide(place, before);
      landmarks = { ...landmarks, [chosen]: moved };
      marks();
      preview();
    });
    picture.stage.addEventListener("pointerup", () => {
      if (drag !== picture) return;
      drag = null;
      savePose();
    });
  }

  /** Move the chosen point by a millimetre in the image. */
  const nudge = (across, down) => () => {
    if (!landmarks || !summary().movable) return;
    const before = landmarks[chosen];
    const place = onImage(about, before);
    const step = 1 / about.pixel_mm;
    const moved = offImage(about, { x: place.x + across * step, y: place.y + down * step }, before);
    landmarks = { ...landmarks, [chosen]: moved };
    marks();
    preview();
    savePose();
  };
  const next = () => {
    const names = Object.keys(POINTS);
    chosen = names[(names.indexOf(chosen) + 1) % names.length];
    marks();
    app.say(POINTS[chosen]);
  };

  inView([
    ["a / Enter", "accept, and next", accept],
    ["r", "reject, with a reason", reject],
    ["z", "reset: as it was found", reset],
    ["u / Ctrl+z", "undo in this case", takeBack],
    ["s", "choose the next landmark", next],
    ["ArrowLeft", "move it 1 mm left in the image", nudge(-1, 0)],
    ["ArrowRight", "move it 1 mm right", nudge(1, 0)],
    ["ArrowUp", "move it 1 mm up", nudge(0, -1)],
    ["ArrowDown", "move it 1 mm down", nudge(0, 1)],
    ...toolKeys,
    ["PageDown / .", "next case", () => show(at + 1)],
    ["PageUp / ,", "case before", () => show(at - 1)],
  ]);
  const wanted = cases.findIndex((one) => one.number === number);
  const first = cases.findIndex((one) => one.flagged);
  const unseen = cases.findIndex((one) => !one.verdict);
  show(Math.max(0, wanted >= 0 ? wanted : first >= 0 ? first : unseen));
  return () => {
    at = -1;
  };
}

const applied = (matrix, point) =>
  [0, 1, 2].map((row) => matrix[row][0] * point[0] + matrix[row][1] * point[1] + matrix[row][2] * point[2] + matrix[row][3]);

/** The inverse of a 4 x 4 affine. */
function inverted([[a, b, c, x], [d, e, f, y], [g, h, i, z]]) {
  const parts = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  const size = a * parts[0][0] + b * parts[1][0] + c * parts[2][0];
  return parts.map((row) => {
    const [p, q, r] = row.map((value) => value / size);
    return [p, q, r, -(p * x + q * y + r * z)];
  });
}
