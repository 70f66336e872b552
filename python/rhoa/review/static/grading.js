// Grading: one hip, large, its other side and its pelvis beside it; a key grades it and shows the next.

import { element, rectangle, SIDES, words } from "./marks.js";
import { ask, inView } from "./keys.js";
import { Picture } from "./canvas.js";
import { get } from "./server.js";

const GRADES = {
  0: "none", 1: "doubtful", 2: "definite", 3: "moderate", 4: "severe",
};
const FEATURE_KEYS = { narrowing: "j", osteophytes: "t", sclerosis: "s", cysts: "c" };
const AHEAD = 3;

export function grading(app, root, number) {
  const { order, blinded } = app.cohort;
  if (!order.length) {
    root.append(element("p", { class: "waiting" }, "No hip has a crop yet: draw boxes first."));
    return () => {};
  }
  const hip = new Picture("hip");
  const other = new Picture("other side");
  const whole = new Picture("pelvis");
  const title = element("h2", {});
  const told = element("span", { class: "quiet" });
  const grades = element("div", { class: "grades", role: "group", "aria-label": "Kellgren-Lawrence grade" });
  const notes = element("textarea", { "aria-label": "Notes", placeholder: "Notes (n)", maxlength: 2000 });
  const scores = element("div", { class: "features" });
  const undo = element("button", { type: "button", onclick: takeBack }, element("kbd", {}, "u"), " Undo");
  let at = -1;
  let busy = false;
  let features = {};

  root.append(
    element("div", { class: "work" },
      hip.stage,
      element("div", { class: "side" },
        other.stage,
        whole.stage,
        element("div", { class: "panel" },
          element("div", { class: "row wide" }, title, told),
          grades,
          notes,
          scores,
          element("div", { class: "row wide" },
            element("div", { class: "row" },
              element("button", { type: "button", "aria-label": "Hip before", onclick: () => show(at - 1) }, "←"),
              element("button", { type: "button", "aria-label": "Next hip", onclick: () => show(at + 1) }, "→")),
            undo)))),
  );

  const path = (one, what) => `cases/${one.case}/${what}`;

  async function show(next) {
    if (busy) return;
    busy = true;
    await turnTo(next);
    busy = false;
  }

  async function turnTo(next) {
    if (next < 0 || next >= order.length) return;
    const one = order[next];
    const opposite = SIDES.find((side) => side !== one.side);
    const data = await app.tried(() => app.shelf.get(path(one, `hip/${one.side}`)));
    if (!data) return;
    at = next;
    hip.show(data);
    features = { ...(one.features ?? {}) };
    notes.value = one.notes ?? "";
    describe();
    hip.stage.dataset.hip = `${at}`;
    for (let n = at + 1; n <= Math.min(order.length - 1, at + AHEAD); n += 1) {
      app.shelf.ahead(path(order[n], `hip/${order[n].side}`));
    }
    beside(one, opposite, next);
  }

  /** The other hip and the pelvis: they may come later than the hip itself. */
  async function beside(one, opposite, shown) {
    const summary = app.case(one.case);
    const pair = order.some((each) => each.case === one.case && each.side === opposite);
    const [second, image, detail] = await Promise.all([
      pair ? app.shelf.get(path(one, `hip/${opposite}`)).catch(() => null) : null,
      summary.has_image ? app.shelf.get(path(one, "image")).catch(() => null) : null,
      summary.has_image ? get(`cases/${one.case}`).catch(() => null) : null,
    ]);
    if (at !== shown) return;
    if (second) other.show(second);
    else other.clear();
    other.label.textContent = second ? "its other side" : "no other side";
    whole.stage.hidden = !image;
    if (!image) return;
    whole.show(image);
    whole.label.textContent = summary.source === "ct" ? "CT-AP" : "X-ray";
    const box = detail?.boxes[one.side];
    whole.drawing.replaceChildren(...(box ? [rectangle(box, `box ${one.side}`)] : []));
  }

  function describe() {
    const one = order[at];
    const done = order.filter((each) => each.graded).length;
    title.textContent = blinded ? `Hip ${at + 1} of ${order.length}` : `Case ${app.case(one.case).number}, ${one.side} hip`;
    told.textContent = one.graded ? `graded · ${order.length - done} left` : `${order.length - done} left`;
    hip.label.textContent = `${one.side === "right" ? "right hip, mirrored" : "left hip"}`;
    grades.replaceChildren(
      ...Object.entries(GRADES).map(([kl, meaning]) => button(kl, one.graded && one.kl === Number(kl), `KL ${kl}: ${meaning}`, () => grade(Number(kl)))),
      button("x", one.graded && one.kl === null, one.reason ? `Not gradable: ${one.reason}` : "Not gradable", unfit),
    );
    scores.replaceChildren(...Object.entries(app.cohort.features).flatMap(([name, most]) => [
      element("span", { class: "quiet" }, element("kbd", {}, FEATURE_KEYS[name]), ` ${words(name)}`),
      element("div", { class: "row", role: "group", "aria-label": words(name) },
        ...Array.from({ length: most + 1 }, (_, score) =>
          button(String(score), features[name] === score, `${words(name)} ${score}`, () => setFeature(name, score)))),
    ]));
    app.progress();
  }

  const button = (text, pressed, label, run) =>
    element("button", { type: "button", "aria-pressed": String(Boolean(pressed)), "aria-label": label, title: label, onclick: run }, text);

  function setFeature(name, score) {
    if (features[name] === score) delete features[name];
    else features[name] = score;
    const one = order[at];
    describe();
    if (one.graded) save(one, { kl: one.kl, reason: one.reason });
  }

  const cycle = (name) => () => {
    const most = app.cohort.features[name];
    const now = features[name];
    setFeature(name, now === undefined ? 0 : now < most ? now + 1 : now);
  };

  async function save(one, { kl, reason }) {
    const read = {
      kl, reason: reason ?? "", notes: notes.value.trim(),
      features: Object.keys(features).length ? { ...features } : null,
    };
    const { case: key, side, reading } = one;
    const saved = await app.act({ do: "grade", case: key, side, reading, ...read });
    if (saved) Object.assign(one, read, { graded: true });
    return Boolean(saved);
  }

  /** The next hip is shown while the grade is written; the page says "saved" once it is. */
  async function grade(kl, reason = "") {
    if (busy || at < 0) return;
    busy = true;
    const graded = at;
    const saving = save(order[graded], { kl, reason });
    const later = order.findIndex((one, n) => n > graded && !one.graded);
    const next = later >= 0 ? later : order.findIndex((one, n) => n !== graded && !one.graded);
    if (next >= 0) await turnTo(next);
    if (!(await saving)) await turnTo(graded);
    else if (next < 0) app.say("every hip is graded; Export writes the results");
    describe();
    busy = false;
  }

  async function unfit() {
    if (busy || at < 0) return;
    const reason = await ask("Why can this hip not be graded?", app.cohort.reasons);
    if (reason) await grade(null, reason);
  }

  async function takeBack() {
    if (busy) return;
    busy = true;
    const told = await app.undo("grade");
    busy = false;
    if (!told) return;
    // What stood before the grade that was taken back is known to the server alone.
    const fresh = await app.tried(() => get("cohort"));
    if (!fresh) return;
    fresh.order.forEach((one, n) => Object.assign(order[n], { kl: null, reason: "", notes: "", features: null }, one));
    const { undone } = told;
    const n = order.findIndex((one) => one.case === undone.case && one.side === undone.side && one.reading === undone.reading);
    await show(n >= 0 ? n : at);
  }

  async function saveNotes() {
    const one = order[at];
    if (one?.graded && notes.value.trim() !== (one.notes ?? "")) await save(one, one);
  }
  notes.addEventListener("blur", saveNotes);
  const all = () => [hip, other, whole];
  inView([
    ...Object.entries(GRADES).map(([kl, meaning]) => [kl, `KL ${kl}, ${meaning}, and next`, () => grade(Number(kl))]),
    ["x", "not gradable, with a reason", unfit],
    ["u / Ctrl+z", "undo the last grade", takeBack],
    ["n", "notes (Escape leaves them)", () => notes.focus()],
    ...Object.entries(FEATURE_KEYS).map(([name, key]) => [key, `${words(name)}: next score`, cycle(name)]),
    ["ArrowLeft", "hip before", () => show(at - 1)],
    ["ArrowRight", "next hip, without a grade", () => show(at + 1)],
    ["w", "window and level as at first (drag to change)", () => all().forEach((one) => one.reset())],
  ]);

  const wanted = number === null ? -1 : order.findIndex((one) => app.case(one.case).number === number);
  const first = order.findIndex((one) => !one.graded);
  show(wanted >= 0 ? wanted : Math.max(0, first));
  return () => {};
}
