// The overview of a service that has nothing to show yet: what to do next, or what is being done.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { jobLine } from "./progress.js";

export async function noModels() {
  const job = (await trainings("running")) ?? (await trainings("queued")) ?? (await trainings("failed"));
  return [h("h1", {}, "Nothing is forecast yet"), ...(job ? underWay(job) : []), ...whatToDo()];
}

async function trainings(state) {
  return (await ask(`v1/jobs?kind=train&state=${state}&page_size=1`)).items[0];
}

function underWay(job) {
  const words =
    job.state === "failed"
      ? "The newest training failed:"
      : "The first model is being trained; its forecast appears here.";
  return [h("section", { class: "card" }, h("p", {}, words), jobLine(job))];
}

function whatToDo() {
  const address = new URL("v1/train", location.href.split("#")[0]).href;
  const body = '{"ticker": "^GSPC", "data": {"source": "sample"}}';
  return [
    h(
      "section",
      { class: "card" },
      h("h2", {}, "A forecast needs a model"),
      h(
        "p",
        {},
        "Train the S&P 500 on the history that comes with this program; it takes about a minute and needs no network.",
      ),
      h("p", {}, h("a", { class: "button main", href: "#/train?ticker=^GSPC&source=sample" }, "Train the first model")),
      h("p", {}, "The same from a shell:"),
      h(
        "pre",
        { tabindex: "0", "aria-label": "Command that trains the first model" },
        h("code", {}, `curl -X POST ${address} -H 'Content-Type: application/json' -d '${body}'`),
      ),
    ),
  ];
}
