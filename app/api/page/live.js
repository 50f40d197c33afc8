// News of the service: one stream while somebody looks, a slow poll while there is none.

import { hasKey, KeyedStream, onKey } from "./key.js";

const POLL = 5_000;
const AGAIN = 60_000;
const LOOK = 60_000;

const listeners = new Set();
let stream;
let poll;

// `hear` gets {name: "edition" | "job" | "look", data}; "look" means: something may have changed, see yourself.
export function listen(hear) {
  listeners.add(hear);
  return () => listeners.delete(hear);
}

export function start() {
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : begin({ isMissed: true })));
  onKey(() => {
    stop(); // it goes by the old key, or by none
    if (!document.hidden) begin({ isMissed: true });
  });
  begin({ isMissed: false });
  // What is shown ages by itself: when a session closes, what was fresh is stale, and nobody sends news of that.
  setInterval(() => document.hidden || tell("look"), LOOK);
}

// A browser opens six connections to one server at most: pages that nobody looks at may not hold them.
function stop() {
  stream?.close();
  stream = undefined;
  rest();
}

function rest() {
  clearInterval(poll);
  poll = undefined;
}

// `isMissed`: something may have happened since the page was drawn. While there was no stream, it may have too.
function begin({ isMissed }) {
  if (stream) return;
  stream = hasKey() ? new KeyedStream("v1/events") : new EventSource("v1/events");
  for (const name of ["edition", "job"]) stream.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
  stream.addEventListener("open", () => {
    rest();
    if (isMissed) tell("look");
    isMissed = true;
  });
  stream.addEventListener("error", () => {
    poll ??= setInterval(() => tell("look"), POLL);
    if (stream?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    stream = undefined;
    setTimeout(() => document.hidden || begin({ isMissed: true }), AGAIN);
  });
}

function tell(name, data) {
  for (const hear of [...listeners]) hear({ name, data });
}
