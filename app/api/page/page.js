"use strict";

const LABELS = ["State", "Last close", "Next session", "Point", "80 % band", "P(up)", "Skill: point", "Skill: spread", "Version"];
const $ = (id) => document.getElementById(id);

async function fetchJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

async function allTickers() {
  const rows = [];
  let token = "";
  do {
    const page = await fetchJson(`v1/models?page_size=100${token && `&page_token=${encodeURIComponent(token)}`}`);
    rows.push(...page.items);
    token = page.next_page_token || "";
  } while (token);
  return rows;
}

async function forecastsOf(tickers) {
  const found = new Map();
  for (let start = 0; start < tickers.length; start += 100) {
    const some = tickers.slice(start, start + 100).map(encodeURIComponent).join(",");
    const answer = await fetchJson(`v1/forecasts?tickers=${some}&level=80`);
    for (const item of answer.items) found.set(item.ticker, item);
  }
  return found;
}

async function trainingUnderWay() {
  for (const state of ["running", "queued"]) {
    const page = await fetchJson(`v1/jobs?kind=train&state=${state}&page_size=1`);
    if (page.items.length) return page.items[0];
  }
  return undefined;
}

function howFar(job) {
  const whose = job.ticker || "Many tickers";
  if (job.state === "queued") return `${whose}: it waits for a worker.`;
  return job.progress ? `${whose}: ${job.progress.stage}, ${Math.round(job.progress.fraction * 100)} %.` : `${whose}: it has begun.`;
}

function price(value) {
  const digits = Math.abs(value) < 10 ? 4 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function skillCell(value) {
  if (value === null) return ["–", "number"];
  return [signed(value), Math.abs(value) < 0.00005 ? "number" : `number ${value < 0 ? "minus" : "plus"}`];
}

function signed(value) {
  const percent = (Math.abs(value) * 100).toFixed(2);
  return `${value < 0 && percent !== "0.00" ? "−" : "+"}${percent} %`;
}

function cell(row, label, text, className = "") {
  const td = row.insertCell();
  td.dataset.label = label;
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function cellsOf(forecast) {
  const step = forecast.steps[0];
  const band = step.intervals[0];
  const version = forecast.model.version;
  const state = [forecast.state, ...forecast.reasons.filter((reason) => reason !== forecast.state)].join(", ");
  const skill = version === null ? { value: null, crps: null } : forecast.skill;
  return [
    [state, `state-${forecast.state}`],
    [price(forecast.last_close) + (forecast.currency ? ` ${forecast.currency}` : ""), "number"],
    [step.target_session + (forecast.calendar.approximate ? " (about)" : "")],
    [price(step.point), "number"],
    [`${price(band.lower)} – ${price(band.upper)}`, "number"],
    [`${(step.prob_up * 100).toFixed(1)} %`, "number"],
    skillCell(skill.value),
    skillCell(skill.crps),
    [version === null ? forecast.model.architecture : `${version} (${forecast.model.architecture})`],
  ];
}

function rowOf(model, forecast) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const link = document.createElement("a");
  link.href = `v1/models/${encodeURIComponent(model.ticker)}`;
  link.textContent = model.ticker;
  head.append(link);
  row.append(head);
  if (!forecast || forecast.problem) {
    const why = forecast ? forecast.problem.detail : "No forecast.";
    cell(row, "", why, "problem").colSpan = LABELS.length;
    return row;
  }
  cellsOf(forecast).forEach(([text, className], index) => cell(row, LABELS[index], text, className));
  return row;
}

let soon;

async function load() {
  try {
    const models = await allTickers();
    const forecasts = await forecastsOf(models.map((model) => model.ticker));
    $("rows").replaceChildren(...models.map((model) => rowOf(model, forecasts.get(model.ticker))));
    $("table").hidden = models.length === 0;
    const job = models.length ? undefined : await trainingUnderWay();
    $("empty").hidden = models.length > 0 || job !== undefined;
    $("training").hidden = job === undefined;
    $("progress").textContent = job ? howFar(job) : "";
    const time = new Date().toISOString().slice(11, 16);
    $("status").textContent = models.length ? `${models.length} ticker${models.length === 1 ? "" : "s"}, read at ${time} UTC.` : "";
  } catch (error) {
    $("status").textContent = `Could not be loaded: ${error.message}`;
  } finally {
    clearTimeout(soon);
    if (!$("training").hidden) soon = setTimeout(loadIfSeen, 5000);
  }
}

function loadIfSeen() {
  if (!document.hidden) load();
}

const train = new URL("v1/train", location.href).href;
$("command").textContent = `curl -X POST ${train} -H 'Content-Type: application/json' -d '{"ticker": "MSFT"}'`;
$("reload").addEventListener("click", load);
setInterval(() => document.hidden || load(), 60000);
load();
