// Numbers, sessions and codes in words.

const MINUS = "−";
export const NONE = "–";

export function price(value) {
  if (!isNumber(value)) return NONE;
  const digits = Math.abs(value) < 10 ? 4 : 2;
  const fine =
    Math.abs(value) < 1
      ? { maximumSignificantDigits: 4 }
      : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString("en", fine).replace("-", MINUS);
}

export function percent(value, digits = 1) {
  return isNumber(value) ? `${(value * 100).toFixed(digits).replace("-", MINUS)} %` : NONE;
}

export function signed(value, digits = 2) {
  if (!isNumber(value)) return NONE;
  const text = (Math.abs(value) * 100).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? MINUS : "+"}${text} %`;
}

export function number(value, digits = 3) {
  return isNumber(value) ? value.toFixed(digits).replace("-", MINUS) : NONE;
}

export function chance(p) {
  if (!isNumber(p)) return NONE;
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

export function signClass(value) {
  return !isNumber(value) || Math.abs(value) < 0.00005 ? "" : value < 0 ? "minus" : "plus";
}

// A session is a date of its exchange, not a moment: it is never moved to the reader's time zone.
export function weekday(session) {
  return new Date(`${session}T12:00:00Z`).toLocaleDateString("en", { weekday: "short", timeZone: "UTC" });
}

export function sessionInWords(session) {
  return `${weekday(session)} ${session}`;
}

export function moment(iso) {
  return iso ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : NONE;
}

// What was due in the past is done as soon as a worker can.
export function upcoming(iso) {
  return Date.parse(iso) < Date.now() ? "as soon as a worker is free" : moment(iso);
}

// The day by which ages are counted.
export function today() {
  return new Date().toISOString().slice(0, 10);
}

export function days(session) {
  return Math.max(0, Math.floor((Date.now() - Date.parse(`${session}T00:00:00Z`)) / 86_400_000));
}

export function span(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const REASONS = {
  fresh: "its newest bar is that of the last session",
  stale: "sessions have closed since its newest bar",
  degraded: "the price source is down, the last good bars were used",
  baseline: "no version has earned to answer, so a baseline does",
};

export function inWords(code) {
  return REASONS[code] || code.replaceAll("_", " ");
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
