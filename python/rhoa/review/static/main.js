// The page: its views, what they share, and what is told to the reader.

import { boxes } from "./boxes.js";
import { grading } from "./grading.js";
import { everywhere, help, inView, listen } from "./keys.js";
import { overview } from "./overview.js";
import { pose } from "./pose.js";
import { get, post, Refused, Shelf } from "./server.js";

const $ = (id) => document.getElementById(id);
const VIEWS = { overview, pose, boxes, grading };
const KEPT_IMAGES = 24;

const app = {
  cohort: null,
  /** Of the case that is open: another view opens it, too. */
  number: null,
  shelf: new Shelf(KEPT_IMAGES),

  /** Cases whose image can be looked at. */
  get pictured() {
    return this.cohort.cases.filter((one) => one.has_image);
  },

  case: (key) => app.cohort.cases.find((one) => one.key === key),

  /** Put what the server tells of a case in the place of what it told before. */
  update(summary) {
    if (!summary) return;
    app.cohort.cases = app.cohort.cases.map((one) => (one.key === summary.key ? summary : one));
    progress();
  },

  /** Do something that is written down; false where it was refused, with the reason told. */
  async act(action) {
    return app.saved(() => post("act", action), (told) => app.update(told.case));
  },

  async undo(kind, key = null) {
    return app.saved(() => post("undo", { kind, case: key }), (told) => app.update(told.case), "undone");
  },

  async saved(ask, then, word = "saved") {
    const told = await app.tried(ask);
    if (!told) return null;
    then(told);
    app.say(`${word} ${new Date().toLocaleTimeString()}`);
    return told;
  },

  /** What a promise gives; null where it fails, with the reason told. */
  async tried(ask) {
    try {
      return await ask();
    } catch (error) {
      app.say(error instanceof Refused ? error.message : `this page failed: ${error}`, true);
      if (!(error instanceof Refused)) throw error;
      return null;
    }
  },

  say(text, wrong = false) {
    $("status").textContent = text;
    $("status").classList.toggle("wrong", wrong);
  },

  go(view, number = null) {
    location.hash = number === null ? view : `${view}/${number}`;
  },

  progress,
};

function progress() {
  const { order, cases } = app.cohort;
  const graded = order.filter((one) => one.graded).length;
  const looked = cases.filter((one) => one.verdict).length;
  const boxed = cases.filter((one) => one.boxes_accepted).length;
  const pictured = app.pictured.length;
  const parts = [`${graded} of ${order.length} graded`];
  if (pictured) parts.unshift(`${looked} of ${pictured} poses`, `${boxed} of ${pictured} boxes`);
  $("progress").textContent = `${parts.join(" · ")} · ${app.cohort.reader}`;
}

let close = () => {};
let visit = 0;

async function open() {
  const [name, number] = location.hash.slice(1).split("/");
  const view = VIEWS[name] ? name : "overview";
  const mine = (visit += 1);
  close();
  close = () => {};
  inView([]);
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  document.title = `rhoa review: ${view}`;
  const root = $("view");
  root.replaceChildren();
  const fresh = await app.tried(() => get("cohort"));
  if (!fresh || mine !== visit) return;
  app.cohort = fresh;
  progress();
  root.dataset.view = view;
  close = VIEWS[view](app, root, number ? Number(number) : null) ?? (() => {});
  root.focus({ preventScroll: true });
}

async function exported() {
  app.say("writing …");
  const told = await app.tried(() => post("export", {}));
  if (told) app.say(`${told.hips} hips written into ${told.folder}`);
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

theme(localStorage.getItem("theme") ?? "dark");
$("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("export").addEventListener("click", exported);
$("help").addEventListener("click", help);
for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => app.go(button.dataset.view, ["pose", "boxes"].includes(button.dataset.view) ? app.number : null));
}
everywhere([
  ["o", "overview", () => app.go("overview")],
  ["p", "pose, of this case", () => app.go("pose", app.number)],
  ["b", "boxes, of this case", () => app.go("boxes", app.number)],
  ["g", "grading", () => app.go("grading")],
  ["?", "keys", help],
]);
listen();
window.addEventListener("hashchange", open);
open();
