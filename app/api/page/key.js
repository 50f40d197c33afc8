// The key of a service that asks for one: kept for this tab alone, sent in a header, never part of an address.

import { ask } from "./dom.js";

const NAME = "morrow-key";
const AGAIN = 2_000;

let asking;
let isDeclined = false;
let hear = () => {};

export const hasKey = () => Boolean(sessionStorage.getItem(NAME));

// `listener` is told that there is another key.
export function onKey(listener) {
  hear = listener;
}

export function keyHeaders() {
  const key = sessionStorage.getItem(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Who has declined is not asked again by what happens in the background.
export function mayAskAgain() {
  isDeclined = false;
}

// Asks for a key in place of the headers `sent`, once however many requests want one; tells whether there is another one
// now. There may be: a refusal takes its time, and somebody may have typed a key meanwhile.
export function askForKey(sent) {
  if (sent.Authorization !== keyHeaders().Authorization) return Promise.resolve(true);
  if (isDeclined) return Promise.resolve(false);
  const why = hasKey() ? "The key that was sent opens nothing here (any more)." : "This service asks for a key.";
  asking ??= ask("Key needed", `${why} morrow keys create makes one; it is kept until this tab is closed.`, {
    action: "Use it",
    label: "Key",
    kind: "password",
  }).then((typed) => {
    asking = undefined;
    isDeclined = !typed?.trim();
    if (isDeclined) return false;
    sessionStorage.setItem(NAME, typed.trim());
    hear();
    return true;
  });
  return asking;
}

// Saves what a link leads to: a browser that follows it sends no key.
export async function save(address) {
  const answer = await fetch(address, { headers: keyHeaders() });
  if (!answer.ok) throw new Error(`The service answered ${answer.status}.`);
  const content = URL.createObjectURL(await answer.blob());
  const name = decodeURIComponent(new URL(address).pathname.split("/").pop());
  Object.assign(document.createElement("a"), { href: content, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(content), 60_000);
}

// What an EventSource is, with a key: a browser's own sends no headers.
export class KeyedStream extends EventTarget {
  readyState = EventSource.CONNECTING;
  #lastId = "";
  #leaving = new AbortController();

  constructor(address) {
    super();
    this.#run(address);
  }

  close() {
    this.readyState = EventSource.CLOSED;
    this.#leaving.abort();
  }

  async #run(address) {
    while (this.readyState !== EventSource.CLOSED) {
      try {
        await this.#listen(address);
      } catch {
        // Nobody answers, or the connection broke: as below.
      }
      if (this.#leaving.signal.aborted) return;
      if (this.readyState !== EventSource.CLOSED) this.readyState = EventSource.CONNECTING;
      this.dispatchEvent(new Event("error"));
      await new Promise((resume) => setTimeout(resume, AGAIN));
    }
  }

  async #listen(address) {
    const seen = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
    const headers = { ...keyHeaders(), ...seen };
    const answer = await fetch(address, { headers, cache: "no-store", signal: this.#leaving.signal });
    if (!answer.ok) {
      this.readyState = EventSource.CLOSED;
      return;
    }
    this.readyState = EventSource.OPEN;
    this.dispatchEvent(new Event("open"));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const blocks = (text + part.value).split("\n\n");
      text = blocks.pop();
      blocks.forEach((block) => this.#tell(block));
    }
  }

  #tell(block) {
    const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    this.#lastId = fields.id ?? this.#lastId;
    if (fields.data) this.dispatchEvent(new MessageEvent(fields.event ?? "message", { data: fields.data }));
  }
}
