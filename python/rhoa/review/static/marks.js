// Elements of the page, and what is drawn over images.

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const SIDES = ["left", "right"];

export const POINTS = {
  asis_left: "left ASIS",
  asis_right: "right ASIS",
  pubic_tubercle_left: "left pubic tubercle",
  pubic_tubercle_right: "right pubic tubercle",
};

export const sideOf = (point) => (point.endsWith("left") ? "left" : "right");
export const words = (name) => name.replaceAll("_", " ");
export const degrees = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}°`;

/** A point of the patient (LPS mm) in the frame of an image: x, y (depth), z. */
export function toFrame({ matrix, origin }, point) {
  const from = point.map((value, axis) => value - origin[axis]);
  return matrix.map((row) => row.reduce((sum, value, axis) => sum + value * from[axis], 0));
}

export function fromFrame({ matrix, origin }, place) {
  return origin.map((value, axis) => value + matrix.reduce((sum, row, n) => sum + row[axis] * place[n], 0));
}

/** Where a point lies in the frontal image, in pixel edges. */
export function onImage(about, point) {
  const [x, , z] = toFrame(about, point);
  return {
    x: (x - about.origin_mm[0]) / about.pixel_mm + 0.5,
    y: (about.origin_mm[1] - z) / about.pixel_mm + 0.5,
  };
}

/** The point at a place of the frontal image; how deep it lies stays as it was. */
export function offImage(about, place, before) {
  const [, depth] = toFrame(about, before);
  const x = (place.x - 0.5) * about.pixel_mm + about.origin_mm[0];
  const z = about.origin_mm[1] - (place.y - 0.5) * about.pixel_mm;
  return fromFrame(about, [x, depth, z]);
}

/** Landmarks and the line through the spines, as an image of that frame shows them. */
export function pelvis(landmarks, place) {
  const at = Object.fromEntries(Object.entries(landmarks).map(([name, p]) => [name, place(p)]));
  return [
    svg("line", {
      class: "line", x1: at.asis_left.x, y1: at.asis_left.y, x2: at.asis_right.x, y2: at.asis_right.y,
    }),
    ...Object.entries(at).map(([name, { x, y }]) =>
      svg("path", { class: `dot ${sideOf(name)}`, d: `M${x} ${y}h0` }, svg("title", {}, POINTS[name])),
    ),
  ];
}

export function rectangle([top, left, bottom, right], name) {
  return svg("rect", {
    class: name, x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top),
  });
}

const MOST_CHIPS = 3;

/** What a case's flags say, as chips, gravest first; more than three are folded. */
export function flags(summary) {
  const chips = [];
  if (!summary.used && summary.has_image && summary.source === "ct") chips.push(chip("pose not used", "wrong"));
  if (summary.verdict === "rejected") chips.push(chip("rejected", "wrong"));
  for (const side of SIDES) if (summary.refused[side]) chips.push(chip(`${side} hip not usable`, "wrong", summary.refused[side]));
  for (const flag of summary.flags) chips.push(chip(flag, summary.used ? "" : "wrong"));
  for (const side of SIDES) for (const flag of summary.hip_flags[side] ?? []) chips.push(chip(`${side} hip: ${flag}`));
  if (summary.verdict === "accepted") chips.push(chip("accepted", "fine"));
  const [first, rest] = [chips.slice(0, MOST_CHIPS), chips.slice(MOST_CHIPS)];
  return element("div", { class: "row flags" }, ...first,
    rest.length ? element("details", {}, element("summary", { class: "flag" }, `${rest.length} more`), ...rest) : null);
}

const chip = (text, kind = "", why = null) => element("span", { class: `flag ${kind}`, title: why }, words(text));
