// Grading: one hip, large, its other side and its pelvis beside it; a key grades it and shows the next.

import { element, rectangle, SIDES, words } from "./marks.js";
import { ask, inView } from "./keys.js";
import { Picture, pictureTools } from "./canvas.js";
import { schematicHip } from "./schematic.js";
import { get } from "./server.js";

const GRADES = {
  0: "none", 1: "doubtful", 2: "definite", 3: "moderate", 4: "severe",
};
// What the grades mean (Kellgren and Lawrence 1957), and the features (OARSI atlas, Altman and Gold 2007).
const MEANING = {
  0: "no sign of osteoarthritis",
  1: "possible narrowing medially, possible osteophytes about the head",
  2: "definite osteophytes, definite narrowing inferiorly, slight sclerosis",
  3: "marked narrowing, osteophytes, some sclerosis and cysts, head or socket deformed",
  4: "joint space gone, sclerosis and cysts, head and socket much deformed, large osteophytes",
};
const FEATURE_KEYS = { narrowing: "j", osteophytes: "t", sclerosis: "s", cysts: "c" };
const SCORES = { 3: ["0 none", "1 mild", "2 moderate", "3 severe"], 1: ["0 absent", "1 present"] };
const AHEAD = 3;
const TYPED_MS = 600;

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
  const answer = element("p", { class: "answer", role: "status", hidden: true });
  const grades = element("div", { class: "grades", role: "group", "aria-label": "Kellgren-Lawrence grade" });
  const notes = element("textarea", { "aria-label": "Notes", placeholder: "Notes (n), saved as you type", maxlength: 2000, oninput: typed });
  const { bar: tools, keys: toolKeys, shown: toolsShown } = pictureTools([hip, other, whole]);
  const meaning = element("details", { class: "meaning" },
    element("summary", {}, element("kbd", {}, "k"), " What grades and features mean"),
    element("div", { class: "atlas" },
      ...Object.entries(MEANING).map(([kl, text]) => element("figure", {},
        schematicHip(kl, `KL ${kl}: ${text}`),
        element("figcaption", {}, element("b", {}, `KL ${kl} ${GRADES[kl]}`), `: ${text}`)))),
    element("p", { class: "legend" },
      "Schematic, medial on the left, as crops are: ",
      ...["osteophyte", "sclerosis", "cyst"].map((sign) => element("span", { class: sign }, sign))),
    element("dl", {},
      element("dt", {}, "features"), element("dd", {}, "narrowing and osteophytes 0 none, 1 mild, 2 moderate, 3 severe; sclerosis and cysts 0 absent, 1 present")));
  const scores = element("div", { class: "features" });
  const undo = element("button", { type: "button", onclick: takeBack }, element("kbd", {}, "u"), " Undo");
  const names = Object.keys(app.cohort.features);
  let at = -1;
  let busy = false;
  let features = {};
  let row = 0; // of the features, for keys
  let waiting = null; // what was typed and is not yet written down
  let shownFor = 0; // ms on a visible page, up to `since`
  let since = null;

  root.append(
    element("div", { class: "work" },
      hip.stage,
      element("div", { class: "side" },
        other.stage,
        whole.stage,
        element("div", { class: "panel" },
          element("div", { class: "row wide" }, title, told),
          grades,
          answer,
          notes,
          scores,
          tools,
          meaning,
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
    await saveNotes();
    const one = order[next];
    const opposite = SIDES.find((side) => side !== one.side);
    const data = await app.tried(() => app.shelf.get(path(one, `hip/${one.side}`)));
    if (!data) return;
    at = next;
    app.number = app.case(one.case).number;
    hip.show(data);
    hip.sides("", one.side === "right" ? "R (mirrored)" : "L");
    toolsShown();
    [shownFor, since] = [0, document.hidden ? null : performance.now()];
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
    if (second) {
      other.show(second);
      other.sides("", opposite === "right" ? "R (mirrored)" : "L");
    } else other.clear();
    other.label.textContent = second ? "its other side" : "no other side";
    whole.stage.hidden = !image;
    if (!image) return;
    whole.show(image);
    whole.sides("R", "L");
    whole.label.textContent = summary.source === "ct" ? "CT-AP" : "X-ray";
    const box = detail?.boxes[one.side];
    whole.drawing.replaceChildren(...(box ? [rectangle(box, `box ${one.side}`)] : []));
  }

  function describe() {
    const one = order[at];
    const done = order.filter((each) => each.graded).length;
    title.textContent = blinded ? `Hip ${at + 1} of ${order.length}` : `Case ${app.case(one.case).number}, ${one.side} hip`;
    const predicted = one.prediction === null || one.prediction === undefined ? "" : ` · model: ${one.prediction.toFixed(2)}`;
    told.textContent = (one.graded ? `graded · ${order.length - done} left` : `${order.length - done} left`) + predicted;
    answer.hidden = one.known_kl === undefined || !one.graded;
    if (!answer.hidden) {
      const same = one.kl === one.known_kl;
      answer.classList.toggle("wrong", !same);
      answer.textContent = same ? `KL ${one.known_kl}: the known grade, too` : `known grade: KL ${one.known_kl}; yours: ${one.kl === null ? "not gradable" : `KL ${one.kl}`}`;
    }
    hip.label.textContent = `${one.side === "right" ? "right hip, mirrored" : "left hip"}`;
    grades.replaceChildren(
      ...Object.entries(GRADES).map(([kl, word]) => button(kl, one.graded && one.kl === Number(kl), `KL ${kl}, ${word}: ${MEANING[kl]}`, () => grade(Number(kl)), word)),
      button("x", one.graded && one.kl === null, one.reason ? `Not gradable: ${one.reason}` : "Not gradable", unfit, one.reason || "not gradable"),
    );
    const keys = { ...FEATURE_KEYS };
    scores.replaceChildren(...names.map((name, n) => {
      const [group, ...where] = name.split("_");
      const key = keys[group];
      delete keys[group]; // shown at the first of its group
      return element("div", { class: `feature ${n === row ? "chosen" : ""}`, role: "group", "aria-label": words(name) },
        element("span", { class: "quiet" }, key ? element("kbd", {}, key) : "", key ? ` ${group}: ` : "", element("span", {}, where.join(" "))),
        element("div", { class: "row" },
          ...SCORES[app.cohort.features[name]].map((meant, score) =>
            button(String(score), features[name] === score, `${words(name)}: ${meant}`, () => setFeature(name, score)))));
    }));
    app.progress();
  }

  const button = (text, pressed, label, run, word = "") =>
    element("button", { type: "button", "aria-pressed": String(Boolean(pressed)), "aria-label": label, title: label, onclick: run }, text,
      word ? element("small", {}, word) : "");

  function setFeature(name, score) {
    row = names.indexOf(name);
    if (score === null || features[name] === score) delete features[name];
    else features[name] = score;
    describe();
    waiting ??= order[at];
    saveNotes();
  }

  /** The next place of a group of features; `+` and `-` score it. */
  const choose = (group) => () => {
    const places = names.filter((name) => name.startsWith(group));
    const now = places.indexOf(names[row]);
    row = names.indexOf(places[(now + 1) % places.length]);
    describe();
  };
  const step = (by) => () => {
    const now = features[names[row]] ?? (by > 0 ? -1 : 0);
    const next = Math.min(app.cohort.features[names[row]], now + by);
    setFeature(names[row], next < 0 ? null : next);
  };

  let timer = 0;
  function typed() {
    waiting ??= order[at];
    clearTimeout(timer);
    timer = setTimeout(saveNotes, TYPED_MS);
  }

  /** Write down notes and features that changed, with or without a grade. */
  async function saveNotes() {
    clearTimeout(timer);
    const one = waiting;
    waiting = null;
    if (!one) return;
    const written = { notes: notes.value.trim(), features: Object.keys(features).length ? { ...features } : null };
    const { case: key, side, reading } = one;
    if (await app.act({ do: "note", case: key, side, reading, ...written })) Object.assign(one, written);
  }

  /** Seconds for which the hip has been on a visible page. */
  const seconds = () => Math.round((shownFor + (since === null ? 0 : performance.now() - since)) / 100) / 10;
  const visible = () => {
    if (document.hidden) {
      if (since !== null) shownFor += performance.now() - since;
      since = null;
      saveNotes();
    } else since = performance.now();
  };
  document.addEventListener("visibilitychange", visible);

  async function save(one, { kl, reason, took }) {
    const { case: key, side, reading } = one;
    const saved = await app.act({ do: "grade", case: key, side, reading, kl, reason: reason ?? "", seconds: took });
    if (!saved) return false;
    Object.assign(one, { kl, reason: reason ?? "", graded: true });
    if ("known_kl" in saved) one.known_kl = saved.known_kl;
    return true;
  }

  /** The next hip is shown while the grade is written; the page says "saved" once it is. */
  async function grade(kl, reason = "") {
    if (busy || at < 0) return;
    busy = true;
    const graded = at;
    const saving = save(order[graded], { kl, reason, took: seconds() });
    if (app.cohort.training) {
      await saving; // the known grade is looked at before the next hip
      describe();
      busy = false;
      return;
    }
    const later = order.findIndex((one, n) => n > graded && !one.graded);
    const next = later >= 0 ? later : order.findIndex((one, n) => n !== graded && !one.graded);
    if (next >= 0) await turnTo(next);
    busy = false; // the hip that is shown can be graded; a key before it was would grade it unseen
    if (!(await saving)) await turnTo(graded);
    else if (next < 0) app.say("every hip is graded; Export writes the results");
    describe();
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
    fresh.order.forEach((one, n) => Object.assign(order[n], { known_kl: undefined }, one));
    const { undone } = told;
    const n = order.findIndex((one) => one.case === undone.case && one.side === undone.side && one.reading === undone.reading);
    await show(n >= 0 ? n : at);
  }

  notes.addEventListener("blur", saveNotes);
  inView([
    ...Object.entries(GRADES).map(([kl, meaning]) => [kl, `KL ${kl}, ${meaning}, and next`, () => grade(Number(kl))]),
    ["x", "not gradable, with a reason", unfit],
    ["u / Ctrl+z", "undo the last grade", takeBack],
    ["n", "notes (Escape leaves them)", () => notes.focus()],
    ...Object.entries(FEATURE_KEYS).map(([group, key]) => [key, `${group}: next place`, choose(group)]),
    ["+ / =", "score of the chosen feature, one more", step(1)],
    ["-", "one less, or none", step(-1)],
    ["k", "what grades and features mean", () => meaning.toggleAttribute("open")],
    ...toolKeys,
    ["ArrowLeft", "hip before", () => show(at - 1)],
    ["ArrowRight", "next hip, without a grade", () => show(at + 1)],
  ]);

  const wanted = number === null ? -1 : order.findIndex((one) => app.case(one.case).number === number);
  const first = order.findIndex((one) => !one.graded);
  show(wanted >= 0 ? wanted : Math.max(0, first));
  return () => {
    saveNotes();
    document.removeEventListener("visibilitychange", visible);
  };
}
