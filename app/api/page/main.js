// Which view is shown, and what holds for all of them.

import { Refused, Unreachable } from "./api.js";
import { $, h, keepingFocus } from "./dom.js";
import { hasKey, mayAskAgain, save } from "./key.js";
import { listen, start } from "./live.js";

const VIEWS = [
  [/^\/?$/, "Overview", () => import("./overview.js")],
  [/^\/tickers\/([^/]+)$/, "Ticker", () => import("./ticker.js")],
  [/^\/train$/, "Train", () => import("./training_form.js")],
  [/^\/jobs$/, "Jobs", () => import("./jobs.js")],
  [/^\/jobs\/([^/]+)$/, "Job", () => import("./job.js")],
  [/^\/peers$/, "Peers", () => import("./peers.js")],
];
const TOGETHER = 300; // milliseconds in which several pieces of news lead to one reading

let shown;
let resting;

// A view draws into `place` what the address asks for, and is told of news through `context.keepFresh`.
async function show({ isFirst }) {
  const [address, query = ""] = location.hash.slice(1).split("?");
  const view = viewOf(address);
  const mine = { place: h("div", {}), news: new Set(), isFailed: false };
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  shown = mine;
  document.title = `${view.named ?? view.title} · Morrow`;
  markCurrent(address);
  trouble("");
  await attempt(mine, async () => {
    const module = await loaded(view);
    await module.show(mine.place, { ...view, query: new URLSearchParams(query) }, contextOf(mine));
    if (shown === mine) keepingFocus($("view"), () => $("view").replaceChildren(mine.place));
  });
  if (shown === mine && !isFirst) focusHeading(mine.place);
}

function contextOf(mine) {
  return {
    isShown: () => shown === mine,
    attempt: (work) => attempt(mine, work),
    keepFresh: (load, concerns) => keepFresh(mine, load, concerns),
  };
}

// Loads now, and again when there is news that `concerns` the view; never twice at the same time.
async function keepFresh(mine, load, concerns) {
  let due;
  let last = Promise.resolve();
  mine.news.add((news) => {
    if (news.name !== "look" && !concerns(news)) return;
    clearTimeout(due);
    due = setTimeout(() => (last = last.then(() => shown === mine && attempt(mine, load))), TOGETHER);
  });
  last = load();
  await last;
}

async function loaded(view) {
  try {
    return await view.load();
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

function viewOf(address) {
  for (const [pattern, title, load] of VIEWS) {
    const found = address.match(pattern);
    if (found) return { title, load, named: decoded(found[1]) };
  }
  return { title: "Nothing here", load: () => Promise.resolve({ show: nothingHere }) };
}

function decoded(text) {
  try {
    return text && decodeURIComponent(text);
  } catch {
    return text;
  }
}

function nothingHere(place) {
  place.append(h("h1", {}, "Nothing here"), h("p", {}, h("a", { href: "#/" }, "To the overview")));
}

// Runs `work`; what goes wrong is said above what is shown already, and goes away when the next attempt works.
async function attempt(mine, work) {
  try {
    await work();
    if (shown === mine) trouble("");
  } catch (error) {
    const isOurs = !(error instanceof Refused || error instanceof Unreachable);
    if (isOurs) console.error(error);
    if (shown === mine) fail(mine, error, isOurs);
  }
}

function fail(mine, error, isOurs) {
  const away = "The service does not answer. What is shown is what was known before; this page keeps trying.";
  trouble(isOurs ? `This page has failed: ${error.message}` : error instanceof Unreachable ? away : error.message);
  if (mine.place.isConnected) return;
  mine.isFailed = error instanceof Unreachable || error.status >= 500;
  const back = h("p", {}, h("a", { href: "#/" }, "To the overview"));
  $("view").replaceChildren(h("h1", {}, "This view could not be loaded"), back);
}

function trouble(text) {
  $("trouble").hidden = !text;
  if ($("trouble").textContent !== text) $("trouble").textContent = text;
}

// Whoever came by a link reads on from the heading; what still has the focus keeps it.
function focusHeading(place) {
  const heading = place.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  if (place.contains(document.activeElement)) return;
  heading?.focus({ preventScroll: true });
  scrollTo(0, history.state?.y ?? 0); // who goes back finds the place again
}

function markCurrent(address) {
  for (const link of document.querySelectorAll("nav a")) {
    const target = link.getAttribute("href").slice(1);
    const isOverview = ["", "/"].includes(address) || address.startsWith("/tickers/");
    const isCurrent = target === "/" ? isOverview : address.startsWith(target);
    isCurrent ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address after # says which view is shown
  $("view").focus();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="v1/"], a[href="metrics"]');
  if (!link || !hasKey()) return;
  event.preventDefault();
  attempt(shown, () => save(link.href));
});
addEventListener("scrollend", () => {
  clearTimeout(resting);
  resting = setTimeout(() => history.replaceState({ y: scrollY }, ""), 100);
});
addEventListener("hashchange", () => {
  clearTimeout(resting); // where the last view stood is nothing to this one
  mayAskAgain();
  show({ isFirst: false });
});
listen((news) => {
  // A view that could not be loaded for want of an answer is tried again when there may be one.
  if (shown.isFailed && news.name === "look") show({ isFirst: false });
  else for (const hear of shown.news) hear(news);
});
await show({ isFirst: true });
start();
for (const [, , load] of VIEWS) load().catch(() => {}); // so that they are there when the service is not
