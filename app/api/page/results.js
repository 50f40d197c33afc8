// What came of a job, by its kind.

import { path } from "./api.js";
import { card, h } from "./dom.js";
import { inWords, signed } from "./format.js";

export function resultCard(job) {
  const told = { train: trained, backtest: judged, refresh: refreshed }[job.kind] ?? plain;
  return card("What came of it", told(job));
}

function trained({ ticker, result }) {
  return (result.versions ?? [{ ticker, ...result }]).map((made) => {
    const why = made.reasons.length ? `: ${made.reasons.map(inWords).join(", ")}` : "";
    const at = `#/tickers/${path(made.ticker)}`;
    return h(
      "p",
      {},
      `Version ${made.version} of ${made.ticker} ${made.promoted ? "is champion now" : `is not champion${why}`}. `,
      h("a", { href: `${at}?model=${made.version}` }, "See what it forecasts"),
      made.promoted ? "" : [", or ", h("a", { href: at }, "who answers meanwhile")],
      ".",
    );
  });
}

function judged({ result }) {
  const { skill, reasons } = result;
  const verdict = result.earned_champion
    ? "It would have earned the champion alias."
    : `It would not be champion: ${reasons.map(inWords).join(", ")}.`;
  return h(
    "p",
    {},
    `Over ${skill.n} sessions that it had not seen, its spread is ${signed(skill.crps)} against EWMA-t and its point `,
    `${signed(skill.value)} against the last close. ${verdict} Nothing was kept.`,
  );
}

function refreshed({ result }) {
  const counts = `${result.refreshed.length} forecast anew, ${result.unchanged.length} unchanged, ${result.failed.length} failed.`;
  const failures = result.failed.map(({ ticker, problem }) =>
    h("li", {}, h("strong", {}, ticker), `: ${problem.detail}`),
  );
  const { fell_back: fellBack = [] } = result;
  const instead = `Files are damaged, so an earlier champion answers: ${fellBack.join(", ")}.`;
  return [h("p", {}, counts), failures.length > 0 && h("ul", {}, failures), fellBack.length > 0 && h("p", {}, instead)];
}

function plain({ result }) {
  return h("pre", { tabindex: "0", "aria-label": "Result" }, h("code", {}, JSON.stringify(result, null, 2)));
}
