// The contact sheet: every case, what is asked of it, and how far the reader is.

import { degrees, element, flags, onImage, pelvis, rectangle, SIDES, svg } from "./marks.js";
import { inView } from "./keys.js";
import { get } from "./server.js";

const graded = (one) => Object.keys(one.grades).length;
const FILTERS = {
  all: () => true,
  flagged: (one) => one.flagged,
  "not looked at": (one) => one.has_image && !one.verdict,
  ungraded: (one) => graded(one) < 2,
  rejected: (one) => one.verdict === "rejected",
  disagreements: (one) => one.disagreement,
};
const SORTS = {
  "flagged first": (one) => [one.flagged ? 0 : 1, one.number],
  "ungraded first": (one) => [graded(one), one.number],
  number: (one) => [one.number],
  "largest tilt first": (one) => [one.angles ? -Math.abs(one.angles.tilt) : 0, one.number],
};
const remembered = { filter: "all", sort: "flagged first" };

export function overview(app, root) {
  const cards = element("section", { class: "cards", "aria-label": "Cases" });
  const count = element("span", { class: "quiet" });
  const filter = choice("Show", FILTERS, "filter");
  const sort = choice("Order", SORTS, "sort");
  const done = app.cohort.order.filter((one) => one.graded).length;
  const bar = element("progress", { max: Math.max(1, app.cohort.order.length), value: done, "aria-label": "graded" });
  root.append(
    element("div", { class: "overview" },
      element("div", { class: "tools" }, filter, sort, count, bar, element("span", { class: "quiet" }, `${done} of ${app.cohort.order.length} graded`)),
      cards,
      unusable(app)),
  );
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      entry.target.fill();
    }
  }, { root, rootMargin: "300px" });

  function choice(label, choices, name) {
    const select = element("select", {
      id: name,
      onchange: () => {
        remembered[name] = select.value;
        draw();
      },
    }, ...Object.keys(choices).map((one) => element("option", {}, one)));
    select.value = remembered[name];
    return element("label", { for: name }, label, select);
  }

  function draw() {
    const key = SORTS[remembered.sort];
    const shown = app.cohort.cases.filter(FILTERS[remembered.filter]).sort((a, b) => compared(key(a), key(b)));
    count.textContent = `${shown.length} of ${app.cohort.cases.length} cases`;
    seen.disconnect();
    cards.replaceChildren(...shown.map((one) => card(app, one)));
    for (const one of cards.children) seen.observe(one);
  }

  draw();
  inView([
    ["f", "show flagged cases only, or all", () => {
      remembered.filter = remembered.filter === "flagged" ? "all" : "flagged";
      root.querySelector("#filter").value = remembered.filter;
      draw();
    }],
    ["ArrowRight / ArrowDown", "next card", () => step(cards, 1)],
    ["ArrowLeft / ArrowUp", "card before", () => step(cards, -1)],
    ["Enter", "open the card's pose", () => document.activeElement.closest(".card")?.querySelector("button")?.click()],
  ]);
  return () => seen.disconnect();
}

/** The hips that are not graded, each with its reason: apart from those that are. */
function unusable(app) {
  const rows = app.cohort.cases.flatMap((one) => SIDES.filter((side) => one.refused[side]).map((side) => [one, side]));
  if (!rows.length) return null;
  return element("details", { class: "unusable", open: true },
    element("summary", {}, `${rows.length} ${rows.length === 1 ? "hip is" : "hips are"} not graded; draw a box to take one in`),
    element("ul", {}, ...rows.map(([one, side]) => element("li", {},
      element("button", { type: "button", disabled: !one.has_image, onclick: () => app.go("boxes", one.number) }, `Case ${one.number}, ${side} hip`),
      ` ${one.refused[side]}`))));
}

function compared(one, other) {
  for (let n = 0; n < one.length; n += 1) if (one[n] !== other[n]) return one[n] - other[n];
  return 0;
}

function step(cards, by) {
  const all = [...cards.children];
  const at = all.indexOf(document.activeElement.closest(".card"));
  const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
  next?.querySelector("button")?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function card(app, one) {
  const drawing = svg("svg", { "aria-hidden": "true" });
  const stage = element("div", { class: "stage" }, element("span", { class: "label" }, `Case ${one.number}`));
  const open = (view) => () => app.go(view, one.number);
  const title = one.has_image ? "pose" : "grading";
  stage.addEventListener("click", open(title));
  const grades = SIDES.filter((side) => side in one.grades).map((side) => `${side} ${one.grades[side]}`);
  const facts = [
    ["source", one.source === "ct" ? "CT-AP" : "X-ray"],
    ...(grades.length ? [["KL", grades.join(", ")]] : []),
  ];
  const angles = one.angles && [["tilt", degrees(one.angles.tilt)], ["obl.", degrees(one.angles.obliquity)], ["rot.", degrees(one.angles.rotation)]];
  const list = (rows) => element("dl", {}, ...rows.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  const node = element("article", {
    onfocusin: () => (app.number = one.number),
    class: `card ${one.flagged ? "flagged" : ""} ${one.verdict ?? ""}`, "data-case": one.number,
    "aria-label": `Case ${one.number}`,
  },
  stage,
  element("div", { class: "about" },
    list(facts),
    angles ? list(angles) : null,
    flags(one),
    one.has_image
      ? element("div", { class: "row" },
        element("button", { type: "button", onclick: open("pose") }, `Pose${one.moved ? " (moved)" : ""}`),
        element("button", { type: "button", onclick: open("boxes") }, `Boxes${one.boxes_accepted ? " ✓" : ""}`))
      : null));
  node.fill = async () => {
    stage.prepend(element("img", { src: `/api/cases/${one.key}/thumbnail?${one.moved}${Date.now()}`, alt: `Image of case ${one.number}` }));
    if (!one.has_image) return;
    const detail = await get(`cases/${one.key}`).catch(() => null);
    if (!detail) return;
    const [rows, columns] = detail.shape;
    drawing.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    drawing.append(
      ...Object.entries(detail.boxes).map(([side, edges]) => rectangle(edges, `box ${side}`)),
      ...(detail.landmarks ? pelvis(detail.landmarks, (point) => onImage(detail, point)) : []),
    );
    stage.append(drawing);
  };
  return node;
}
