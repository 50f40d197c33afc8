// All jobs, newest first, as they go on.

import { answerTo, ask, path } from "./api.js";
import { ask as confirm, h, keepingFocus, notice, table } from "./dom.js";
import { moment } from "./format.js";
import { bar, isOver, titleOf, whereItIs } from "./progress.js";

const SHOWN = 50;
const COLUMNS = [["Job"], ["State"], ["Progress"], ["Created"], ["Submitted by"], ["Actions"]];

export async function show(place, { query }, context) {
  const filter = Object.fromEntries(["state", "kind", "ticker"].map((name) => [name, query.get(name) ?? ""]));
  const rows = new Map();
  let oldest = ""; // when the last row was created, if older jobs are not shown
  const list = h("div", {});
  place.append(head(context), filters(filter), list);
  const load = async () => {
    const given = Object.entries(filter).filter(([, value]) => value);
    const { items } = await ask(`v1/jobs?${new URLSearchParams([["page_size", SHOWN], ...given])}`);
    oldest = items.length < SHOWN ? "" : items.at(-1).created_at;
    if (rows.size && items.map((job) => job.job_id).join() === [...rows.keys()].join())
      return items.forEach((job) => rows.get(job.job_id).update(job));
    rows.clear();
    for (const job of items) rows.set(job.job_id, rowOf(job, context));
    drawList(list, rows);
  };
  // A job's row goes on by itself; only one that nobody has seen yet is read, and put in order, with all others.
  const concerns = ({ name, data }) => {
    if (name !== "job") return false;
    const row = rows.get(data.job_id);
    if (row && fits(data, filter)) row.update(data);
    else if (row && rows.delete(data.job_id)) drawList(list, rows);
    else return fits(data, filter) && data.created_at >= oldest;
    return false;
  };
  await context.keepFresh(load, concerns);
}

function fits(job, filter) {
  const isOf = (name, value) => (job[name] ?? "").toUpperCase() === value.toUpperCase();
  return Object.entries(filter).every(([name, value]) => !value || isOf(name, value));
}

function head(context) {
  const refresh = async () => {
    const { body } = await answerTo("v1/refresh", { method: "POST" });
    location.hash = `#/jobs/${path(body.job_id)}`;
  };
  return h(
    "div",
    { class: "title" },
    h("h1", {}, "Jobs"),
    h("a", { class: "button main", href: "#/train" }, "Train"),
    h("button", { type: "button", onclick: () => context.attempt(refresh) }, "Refresh all forecasts"),
  );
}

function filters(filter) {
  const go = (name) => (event) => {
    const asked = Object.entries({ ...filter, [name]: event.target.value.trim() }).filter(([, value]) => value);
    location.hash = `#/jobs?${new URLSearchParams(asked)}`;
  };
  const option = (name) => (value) => h("option", { value, selected: value === filter[name] }, value || "all");
  const choice = (label, name, values) =>
    h(
      "label",
      {},
      `${label} `,
      h("select", { id: `only-${name}`, onchange: go(name) }, ["", ...values].map(option(name))),
    );
  return h(
    "div",
    { class: "filters" },
    choice("State", "state", ["queued", "running", "succeeded", "failed", "cancelled"]),
    choice("Kind", "kind", ["train", "backtest", "tune", "refresh"]),
    h(
      "label",
      {},
      "Ticker ",
      h("input", { id: "only-ticker", value: filter.ticker, size: 10, onchange: go("ticker") }),
    ),
  );
}

function drawList(list, rows) {
  const none = h("p", {}, "No job matches. ", h("a", { href: "#/train" }, "Train a model"), ".");
  const cells = [...rows.values()].map((row) => row.cells);
  const drawn = rows.size ? table(`The newest ${rows.size} jobs`, COLUMNS, cells, { class: "jobs stacked" }) : none;
  keepingFocus(list, () => list.replaceChildren(drawn));
}

// The parts of a row that change are kept, so that what is being read or pressed stays where it is.
function rowOf(job, context) {
  const [state, progress] = [h("span", {}, bar(job)), h("span", {}, whereItIs(job))];
  const actions = h("span", {}, isOver(job) ? null : cancelButton(job, context));
  const title = h("a", { href: `#/jobs/${path(job.job_id)}` }, titleOf(job));
  const update = (now) => {
    state.replaceChildren(bar(now));
    progress.textContent = whereItIs(now);
    if (isOver(now)) actions.replaceChildren();
  };
  return { cells: [title, state, progress, moment(job.created_at), job.submitted_by, actions], update };
}

export function cancelButton(job, context) {
  const cancel = async () => {
    const answer = await confirm(`Cancel “${titleOf(job)}”?`, "What it has done so far is thrown away.", {
      action: "Cancel the job",
    });
    if (answer === null) return;
    button.disabled = true;
    button.textContent = "Stopping …";
    try {
      await answerTo(`v1/jobs/${path(job.job_id)}/cancel`, { method: "POST" });
    } catch (error) {
      button.disabled = false;
      button.textContent = "Cancel";
      await notice("That was refused", error.message);
    }
  };
  const label = job.cancel_requested ? "Stopping …" : "Cancel";
  const attributes = {
    type: "button",
    id: `cancel-${job.job_id}`,
    disabled: job.cancel_requested,
    "aria-label": `Cancel ${titleOf(job)}`,
  };
  const button = h("button", { ...attributes, onclick: () => context.attempt(cancel) }, label);
  return button;
}
