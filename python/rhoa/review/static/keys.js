// Keys: which do what in the view that is open, and the dialogs that they open.

import { element } from "./marks.js";

const $ = (id) => document.getElementById(id);
const always = [];
let here = [];

/** Keys of the whole page: [key, what it does, function]. */
export const everywhere = (keys) => always.push(...keys);
/** Keys of the view that is open. */
export const inView = (keys) => (here = keys);

const typing = (target) => Boolean(target.closest?.("textarea, input:not([type=range]), select"));

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const name = named(event);
    if (typing(event.target)) {
      if (name === "Escape") event.target.blur();
      return;
    }
    if (event.target.closest?.("button, [role=slider], input") && [" ", "Enter"].includes(event.key)) return;
    if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
    const found = [...here, ...always].find(([keys]) => keys.split(" / ").includes(name));
    if (!found) return;
    event.preventDefault();
    if (!event.repeat || name.includes("Arrow")) found[2](event);
  });
}

function named(event) {
  const shift = event.shiftKey && event.key.length > 1 ? "Shift+" : "";
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  if (event.altKey) return "";
  return control + shift + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
}

const SIGNS = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page ↑", PageDown: "Page ↓",
};

export function help() {
  const list = (title, keys) => [
    element("h3", {}, title),
    ...keys.map(([key, what]) =>
      element("div", {}, element("dt", {}, ...key.split(" / ").map((one) => element("kbd", {}, SIGNS[one] ?? one))), element("dd", {}, what)),
    ),
  ];
  $("keys-list").replaceChildren(...list("In this view", here), ...list("Everywhere", always));
  $("keys").showModal();
}

/** Let the reader choose one of several, by number or pointer; null where they cancel. */
export function ask(title, choices) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  return new Promise((resolve) => {
    let chosen = null;
    const choose = (choice) => {
      chosen = choice;
      dialog.close();
    };
    $("ask-list").replaceChildren(
      ...choices.map((choice, n) =>
        element("li", {},
          element("button", { type: "button", onclick: () => choose(choice) },
            element("kbd", {}, String(n + 1)), ` ${choice}`)),
      ),
    );
    const key = (event) => {
      const choice = choices[Number(event.key) - 1];
      if (choice === undefined) return;
      event.preventDefault();
      choose(choice);
    };
    dialog.addEventListener("keydown", key);
    dialog.addEventListener("close", () => {
      dialog.removeEventListener("keydown", key);
      resolve(chosen);
    }, { once: true });
    dialog.showModal();
    $("ask-list").querySelector("button")?.focus();
  });
}
