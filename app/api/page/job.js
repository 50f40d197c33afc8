// One job: how far it is, how it ended and why.

import { ask, path } from "./api.js";
import { card, facts, h, say } from "./dom.js";
import { inWords, moment } from "./format.js";
import { cancelButton } from "./jobs.js";
import { bar, isOver, titleOf, tookOf, whereItIs } from "./progress.js";
import { resultCard } from "./results.js";

export async function show(place, { named }, context) {
  let drawn;
  const draw = (job) => {
    if (!context.isShown()) return;
    if (drawn && job.state === drawn.state && job.attempt === drawn.attempt) return drawn.update(job);
    if (drawn) say(`${titleOf(job)}: ${job.state}`);
    drawn = { state: job.state, attempt: job.attempt, ...sections(job, context) };
    place.replaceChildren(...drawn.sections);
  };
  const load = async () => draw(await ask(`v1/jobs/${path(named)}`));
  const concerns = ({ name, data }) => {
    if (name === "job" && data.job_id === named) draw(data);
    return false;
  };
  await context.keepFresh(load, concerns);
}

function sections(job, context) {
  const line = h("p", { class: "job-line" });
  const update = (now) => line.replaceChildren(bar(now), " ", isOver(now) ? tookOf(now) : whereItIs(now));
  update(job);
  const actions = isOver(job) ? null : h("p", { class: "actions" }, cancelButton(job, context));
  const drawn = [
    h("div", { class: "title" }, h("h1", {}, titleOf(job)), h("a", { href: "#/jobs" }, "All jobs")),
    card("Progress", line, actions),
    job.error && errorCard(job),
    job.result && resultCard(job),
    factsCard(job),
  ];
  return { sections: drawn.filter(Boolean), update };
}

function factsCard(job) {
  return card(
    "About this job",
    facts([
      ["Id", h("code", {}, job.job_id)],
      ["Attempt", `${job.attempt} of ${job.max_attempts}`],
      ["Submitted", `${moment(job.created_at)} by ${job.submitted_by}`],
      job.started_at && ["Started", moment(job.started_at)],
      job.finished_at && ["Ended", moment(job.finished_at)],
      ["As JSON", h("a", { href: `v1/jobs/${path(job.job_id)}` }, "this job")],
    ]),
  );
}

const STANDARD = ["code", "title", "detail", "type", "status", "instance", "request_id", "findings", "errors"];

// A problem carries the numbers behind it under names of its own, and the rows or fields that are at fault.
function errorCard({ state, error }) {
  const numbers = Object.entries(error).filter(([name, value]) => !STANDARD.includes(name) && value !== null);
  const shown = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  const faults = [...(error.findings ?? []), ...(error.errors ?? [])].map((fault) => h("li", {}, fault.detail));
  return card(
    state === "failed" ? "Why it failed" : "Why an attempt before ended",
    h("p", {}, error.detail),
    faults.length > 0 && h("ul", {}, faults),
    facts([["Code", h("code", {}, error.code)], ...numbers.map(([name, value]) => [inWords(name), shown(value)])]),
  );
}
