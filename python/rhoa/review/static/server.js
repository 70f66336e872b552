// Everything the page asks of its server.

export class Refused extends Error {}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused("the server does not answer: start rhoa review again, then load this page anew");
  }
  if (response.ok) return response;
  const type = response.headers.get("content-type") ?? "";
  const reason = type.includes("json") ? (await response.json()).reason : (await response.text()).trim();
  throw new Refused(reason || `the server answered ${response.status}`);
}

const posted = (body) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

// What the reader does is sent once the server has answered what was done before: of two requests at
// once either may be written down first, and an undo would take back another grade.
let done = Promise.resolve();

export function post(path, body) {
  const told = done.then(() => answer(`/api/${path}`, posted(body))).then((response) => response.json());
  done = told.catch(() => {});
  return told;
}

export async function get(path) {
  await done; // what is told includes what was done
  return (await answer(`/api/${path}`)).json();
}

/** Grey levels: rows, columns, levels (16 bits), black and white at first, and where they lie. */
export async function pixels(path, body) {
  const response = await answer(`/api/${path}`, body && posted(body));
  const about = JSON.parse(response.headers.get("x-rhoa-image"));
  return { ...about, levels: new Uint16Array(await response.arrayBuffer()) };
}

/** Pixels that are kept, so that the next image is there before it is asked for. */
export class Shelf {
  #most;
  #kept = new Map();

  constructor(most) {
    this.#most = most;
  }

  get(path) {
    const kept = this.#kept.get(path);
    if (kept) return kept;
    const coming = pixels(path);
    this.#kept.set(path, coming);
    coming.catch(() => this.#kept.delete(path));
    while (this.#kept.size > this.#most) this.#kept.delete(this.#kept.keys().next().value);
    return coming;
  }

  ahead(path) {
    this.get(path).catch(() => {});
  }

  /** Forget what was made of a case: it has changed. */
  forget(key) {
    for (const path of this.#kept.keys()) if (path.includes(key)) this.#kept.delete(path);
  }
}
