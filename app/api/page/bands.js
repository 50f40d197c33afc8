// A forecast as a picture of one line: the bands around the last close, on one scale for all rows.

import { svg } from "./dom.js";

const WIDTH = 180;
const HEIGHT = 22;
const MIDDLE = WIDTH / 2;

// Half the width of the scale, as a return: nine of ten 95 % bands fit.
export function scaleOf(rows) {
  const reaches = rows
    .map(reach)
    .filter((value) => value > 0)
    .sort((a, b) => a - b);
  return reaches[Math.floor(reaches.length * 0.9)] || reaches.at(-1) || 0.05;
}

export function bandPicture(row, scale) {
  if (!row.last_value) return null; // there is no return from nothing
  const at = (value) => Math.min(WIDTH, Math.max(0, MIDDLE + (moved(row, value) / scale) * MIDDLE));
  const bar = (level, height) => {
    const [from, to] = [at(row[`lower_${level}`]), at(row[`upper_${level}`])];
    return svg("rect", {
      class: `band-${level}`,
      x: from.toFixed(1),
      y: (HEIGHT - height) / 2,
      width: (to - from).toFixed(1),
      height,
    });
  };
  return svg(
    "svg",
    { class: "band", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    bar(95, 6),
    bar(80, 14),
    svg("path", { class: "last", d: `M${MIDDLE} 1V${HEIGHT - 1}` }),
    svg("circle", { class: "point", cx: at(row.point).toFixed(1), cy: HEIGHT / 2, r: 3.5 }),
  );
}

function reach(row) {
  return row.last_value ? Math.max(Math.abs(moved(row, row.lower_95)), Math.abs(moved(row, row.upper_95))) : 0;
}

// Of a price below 0, as oil once had, up is up all the same.
function moved(row, value) {
  return (value - row.last_value) / Math.abs(row.last_value);
}
