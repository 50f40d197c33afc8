// One ticker: what is forecast, what came of earlier forecasts, and whether its versions deserve belief.

import { ask, orRefusal, path } from "./api.js";
import { answerCard, beliefCard, provenanceCard, stepsCard } from "./forecast_cards.js";
import { card, h, keepingFocus } from "./dom.js";
import { today, upcoming } from "./format.js";
import { historyCard, isPast } from "./history_chart.js";
import { isOver, jobLine } from "./progress.js";
import { proofCards, readProof } from "./proof.js";
import { versionsCard } from "./versions.js";

export async function show(place, { named: ticker, query }, context) {
  const asked = query.get("model") || "champion";
  const [work, body] = [h("div", {}), h("div", {})];
  place.append(work, body);
  let [edition, known] = ["", ""];
  const load = async () => {
    const found = await everythingAbout(ticker, asked);
    edition = found.series.edition ?? edition;
    const before = known;
    known = JSON.stringify([found, today(), upcoming(found.forecast.next_update_at)]);
    // An edition is of all tickers: what has not changed here stays as it is, with the reader's place in it.
    if (!context.isShown() || known === before) return;
    keepingFocus(place, () => body.replaceChildren(...sections(ticker, asked, found, () => context.attempt(load))));
  };
  const concerns = ({ name, data }) => {
    if (name === "job" && data.ticker === ticker) showWork(work, data);
    return name === "edition" && data.edition !== edition;
  };
  await context.keepFresh(load, concerns);
}

async function everythingAbout(ticker, asked) {
  const at = path(ticker);
  const forecastOf = (horizon) =>
    orRefusal(ask(`v1/forecasts/${at}?model=${path(asked)}&level=80,95&horizon=${horizon}`));
  const [first, series, models] = await Promise.all([
    forecastOf(1),
    orRefusal(ask(`v1/forecasts/${at}/series?model=${path(asked)}&level=80,95`)),
    orRefusal(ask(`v1/models/${at}`)),
  ]);
  const answers = first.model?.version;
  const number = answers ?? models.items?.[0]?.version;
  if (!number) return { forecast: first, series, models };
  const version = await orRefusal(ask(`v1/models/${at}/versions/${number}`));
  const horizon = answers ? (version.spec?.horizon ?? 1) : 1;
  const [forecast, proof] = await Promise.all([horizon > 1 ? forecastOf(horizon) : first, readProof(at, number)]);
  return { forecast, series, models, version, proof };
}

function sections(ticker, asked, { forecast, series, models, version, proof }, reload) {
  const versions = models.refusal ? null : versionsCard(ticker, models, reload);
  const drawn = [heading(ticker, asked, models)];
  if (forecast.refusal) return [...drawn, card("No forecast", h("p", {}, forecast.refusal)), versions].filter(Boolean);
  drawn.push(
    h("div", { class: "cards two" }, answerCard(forecast, isPast(series, forecast.steps[0])), beliefCard(forecast)),
    historyCard(series, forecast),
  );
  if (forecast.steps.length > 1) drawn.push(stepsCard(forecast));
  if (proof) drawn.push(...proofCards(proof, version, forecast.model.version !== null));
  return [...drawn, versions, provenanceCard(forecast, version)].filter(Boolean);
}

function heading(ticker, asked, models) {
  const train = h("a", { class: "button", href: `#/train?ticker=${path(ticker)}` }, "Train");
  return h("div", { class: "title" }, h("h1", {}, ticker), modelChoice(ticker, asked, models), train);
}

function modelChoice(ticker, asked, models) {
  const versions = (models.items ?? []).map((row) => [
    String(row.version),
    `version ${row.version} (${row.architecture})`,
  ]);
  const aliases = ["champion", ...Object.keys(models.aliases ?? {})].map((name) => [name, name]);
  const choices = new Map([...aliases, ...versions]);
  if (!choices.has(asked)) choices.set(asked, /^\d+$/.test(asked) ? `version ${asked}` : asked);
  const choose = (event) => (location.hash = `#/tickers/${path(ticker)}?model=${path(event.target.value)}`);
  const options = [...choices].map(([value, label]) => h("option", { value, selected: value === asked }, label));
  return h("label", {}, "Model ", h("select", { id: "model", onchange: choose }, options));
}

function showWork(work, job) {
  work.replaceChildren(...(isOver(job) && job.state !== "failed" ? [] : [jobLine(job)]));
}
