"use strict";
// Rankings of the rows that a reader has chosen in the table of solves; ranking.py does the same for the whole run.
{
  const VARIANT = 0, INSTANCE = 1, SEED = 2, SECONDS = 3, SOLVED = 4, LIMIT = 5, INTEGRAL = 6, RAN = 7;
  const DRAWS = 2000, LEVEL = 0.95, LEAST = 1e-3, FEWEST = 6;
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "currentColor", "#777777"];

  // A small generator with a fixed seed, so that the same choice always gives the same intervals (mulberry32).
  const generator = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const quantile = (ordered, share) => {
    const at = share * (ordered.length - 1), low = Math.floor(at), high = Math.ceil(at);
    return ordered[low] + (at - low) * (ordered[high] - ordered[low]);
  };

  // Problems (an instance with a seed) of which every variant has a row that ran: {instance, rows: one a variant}.
  const problemsOf = (rows) => {
    const ran = rows.filter((row) => row[RAN]);
    const variants = [...new Set(ran.map((row) => row[VARIANT]))].sort((a, b) => a - b);
    const found = new Map();
    for (const row of ran) {
      const key = `${row[INSTANCE]} ${row[SEED]}`;
      if (!found.has(key)) found.set(key, { instance: row[INSTANCE], rows: new Map() });
      found.get(key).rows.set(row[VARIANT], row);
    }
    const problems = [...found.values()].filter((problem) => problem.rows.size === variants.length);
    return { variants, problems: problems.map((p) => ({ ...p, rows: variants.map((v) => p.rows.get(v)) })) };
  };

  // Means of values (problems x variants), and those of draws of instances, each with all its problems.
  const means = (values, group) => {
    const numbers = [...new Set(group)], width = values[0].length;
    const sums = numbers.map(() => new Float64Array(width)), sizes = numbers.map(() => 0);
    values.forEach((line, p) => {
      const at = numbers.indexOf(group[p]);
      sizes[at] += 1;
      line.forEach((value, k) => (sums[at][k] += value));
    });
    const random = generator(0), drawn = [];
    for (let draw = 0; draw < DRAWS; draw++) {
      const total = new Float64Array(width);
      let size = 0;
      for (let k = 0; k < numbers.length; k++) {
        const at = Math.floor(random() * numbers.length);
        size += sizes[at];
        for (let v = 0; v < width; v++) total[v] += sums[at][v];
      }
      drawn.push(total.map((value) => value / size));
    }
    return [values[0].map((_, k) => mean(values.map((line) => line[k]))), drawn];
  };

  const instancesOf = (problems) => new Set(problems.map((problem) => problem.instance)).size;

  const ranking = (scores, ratio, drawn, virtual, instances) => {
    const best = scores.indexOf(Math.min(...scores)), tail = (1 - LEVEL) / 2 / Math.max(scores.length - 1, 1);
    const entries = scores.map((score, k) => {
      const ratios = drawn.map((line) => ratio(line[k], line[best])).sort((a, b) => a - b);
      const low = quantile(ratios, tail), high = quantile(ratios, 1 - tail);
      const apart = instances >= FEWEST && ratios[0] < ratios[ratios.length - 1] && low > 1;
      return { score, low, high, together: k === best || !apart };
    });
    return { best, entries, virtual, instances };
  };

  const rankTimes = (rows, shift) => {
    const { variants, problems } = problemsOf(rows);
    if (!problems.length) return null;
    const times = problems.map((p) => p.rows.map((row) => (row[SOLVED] ? row[SECONDS] : row[LIMIT])));
    const logs = times.map((line) => line.map((value) => Math.log(value + shift)));
    const [centre, drawn] = means(logs, problems.map((p) => p.instance));
    const virtual = Math.exp(mean(logs.map((line) => Math.min(...line)))) - shift;
    const found = ranking(centre, (a, b) => Math.exp(a - b), drawn, virtual, instancesOf(problems));
    found.entries.forEach((entry, k) => Object.assign(entry, {
      variant: variants[k], solved: problems.filter((p) => p.rows[k][SOLVED]).length,
      ratio: Math.exp(entry.score - centre[found.best]), score: Math.exp(entry.score) - shift,
    }));
    return { ...found, problems: problems.length, virtualRatio: (virtual + shift) / Math.exp(centre[found.best]) };
  };

  const rankIntegrals = (rows) => {
    const without = [...new Set(rows.filter((row) => row[RAN]).map((row) => row[VARIANT]))].filter((variant) =>
      rows.every((row) => row[VARIANT] !== variant || row[INTEGRAL] === null));
    const known = rows.filter((row) => !without.includes(row[VARIANT]) && row[INTEGRAL] !== null);
    const { variants, problems } = problemsOf(known);
    if (!problems.length) return null;
    const values = problems.map((p) => p.rows.map((row) => row[INTEGRAL]));
    const [centre, drawn] = means(values, problems.map((p) => p.instance));
    const ratio = (a, b) => (a + LEAST) / (b + LEAST);
    const found = ranking(centre, ratio, drawn, mean(values.map((line) => Math.min(...line))), instancesOf(problems));
    found.entries.forEach((entry, k) =>
      Object.assign(entry, { variant: variants[k], ratio: ratio(entry.score, centre[found.best]) }));
    return { ...found, problems: problems.length, without };
  };

  // What may be said: a winner only where the interval of every other one lies above 1.
  const verdict = (found, name, what) => {
    const others = found.entries.filter((entry, k) => entry.together && k !== found.best).map((e) => name(e.variant));
    const best = name(found.entries[found.best].variant);
    if (found.entries.length === 1) return "One variant: nothing to compare.";
    if (found.instances < FEWEST) return `Fewer than ${FEWEST} instances: no winner is shown.`;
    if (!others.length) return `${best} has the least ${what}; the intervals of all others lie above 1.`;
    return `No winner is shown: ${best} has the least ${what}, but is not told apart from ${others.join(", ")}.`;
  };

  // The share of problems solved within some seconds, as corners [seconds, share] for each variant.
  const curves = (rows) => {
    const { variants, problems } = problemsOf(rows);
    return variants.map((variant, k) => {
      const solved = problems.filter((p) => p.rows[k][SOLVED]).map((p) => p.rows[k][SECONDS]).sort((a, b) => a - b);
      return { variant, points: solved.map((seconds, n) => [seconds, (n + 1) / problems.length]) };
    });
  };

  if (typeof module !== "undefined") module.exports = { rankTimes, rankIntegrals, verdict, curves };

  if (typeof document !== "undefined") {
    const place = document.getElementById("ranking");
    const data = JSON.parse(document.getElementById("ranking-data").textContent);
    const name = (variant) => data.variants[variant];
    const element = (tag, text = "", attributes = {}) =>
      Object.assign(document.createElement(tag), { textContent: text }, attributes);
    const drawing = (tag, attributes, text = "") => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.textContent = text;
      return made;
    };
    const short = (value) => (value >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
    const table = (heads, lines) => {
      const made = element("table"), head = made.createTHead().insertRow(), body = made.createTBody();
      heads.forEach((text, k) => head.append(element("th", text, k ? {} : { className: "left" })));
      for (const line of lines) {
        const row = body.insertRow();
        line.forEach((text, k) => row.append(element("td", text, k ? {} : { className: "left" })));
      }
      const scroll = element("div", "", { className: "scroll" });
      scroll.append(made);
      return scroll;
    };
    const interval = (entry, best) => (best ? "" : `${short(entry.low)} to ${short(entry.high)}`);
    const lines = (found, make) => found.entries
      .map((entry, k) => [entry, k]).sort(([a], [b]) => a.ratio - b.ratio)
      .map(([entry, k]) => make(entry, k === found.best));

    const chart = (rows, scale) => {
      const found = curves(rows), ends = found.flatMap((curve) => curve.points.map(([seconds]) => seconds));
      // As wide as there is room, so that a telephone does not shrink the letters.
      const width = Math.max(280, Math.min(640, place.clientWidth || 640));
      const height = 300, left = 48, bottom = 40, top = 12, right = 12;
      const first = scale === "logarithmic" ? Math.max(0.01, Math.min(...ends, 1)) : 0;
      const last = Math.max(...rows.map((row) => row[LIMIT]), first * 10);
      const along = scale === "logarithmic"
        ? (x) => Math.log(Math.max(x, first) / first) / Math.log(last / first) : (x) => x / last;
      const x = (value) => left + along(value) * (width - left - right);
      const y = (share) => height - bottom - share * (height - bottom - top);
      const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img",
        "aria-label": "Share of problems solved within some seconds, for each variant" });
      const grid = (x1, y1, x2, y2) =>
        svg.append(drawing("line", { x1, y1, x2, y2, stroke: "currentColor", "stroke-opacity": 0.15 }));
      for (const share of [0, 0.25, 0.5, 0.75, 1]) {
        grid(left, y(share), width - right, y(share));
        svg.append(drawing("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
      }
      const ticks = scale === "logarithmic"
        ? Array.from({ length: 12 }, (_, k) => 10 ** (k - 3)).flatMap((t) => (last / first < 300 ? [t, 2 * t, 5 * t] : [t]))
          .map((t) => Number(t.toPrecision(1))).filter((t) => t >= first && t <= last)
        : Array.from({ length: 6 }, (_, k) => (last * k) / 5);
      for (const tick of ticks) {
        grid(x(tick), y(0), x(tick), y(1));
        svg.append(drawing("text", { x: x(tick), y: height - bottom + 18, "text-anchor": "middle" }, short(tick)));
      }
      svg.append(drawing("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" },
        "seconds within which a problem is solved"));
      for (const { variant, points } of found) {
        let path = `M${x(first)},${y(0)}`, before = 0;
        for (const [seconds, share] of points) {
          path += `L${x(seconds)},${y(before)}L${x(seconds)},${y(share)}`;
          before = share;
        }
        const dashes = ["", "7 3", "2 3"][Math.floor(variant / COLOURS.length) % 3];
        svg.append(drawing("path", { d: `${path}L${x(last)},${y(before)}`, fill: "none", "stroke-width": 2,
          stroke: COLOURS[variant % COLOURS.length], "stroke-dasharray": dashes }));
      }
      const legend = element("p", "", { className: "faint" });
      for (const { variant } of found) {
        const mark = element("span", "■ ");
        mark.style.color = COLOURS[variant % COLOURS.length];
        legend.append(mark, `${name(variant)}   `);
      }
      const box = element("div");
      box.append(svg, legend);
      return box;
    };

    const bar = element("div", "", { className: "choose faint" }), body = element("div");
    const select = (label, values) => {
      const made = element("select", "", { name: label }), around = element("label", `${label} `);
      for (const value of values) made.append(element("option", value));
      around.append(made);
      bar.append(around, " ");
      return made;
    };
    const scale = select("scale of time", ["logarithmic", "linear"]), shift = select("shift of the mean", ["10 s", "1 s"]);
    place.append(bar, body);
    let shown = data.rows;
    const fill = () => {
      const times = rankTimes(shown, parseFloat(shift.value)), integrals = rankIntegrals(shown), parts = [];
      if (times === null) {
        parts.push(element("p", "No problem was run by all of the chosen variants."));
      } else {
        parts.push(element("p", verdict(times, name, "mean time")));
        const rows = lines(times, (entry, best) => [name(entry.variant), `${entry.solved} of ${times.problems}`,
          short(entry.score), short(entry.ratio), interval(entry, best)]);
        rows.push(["virtual best", "", short(times.virtual), short(times.virtualRatio), ""]);
        parts.push(table(["variant", "solved", "shifted geometric mean, s", "times the quickest",
          "95 % interval, jointly"], rows), chart(shown, scale.value));
      }
      parts.push(element("h3", "Primal integral"));
      if (integrals === null) {
        parts.push(element("p", "Nobody told incumbents over time for a problem that all others told them for."));
      } else {
        parts.push(element("p", verdict(integrals, name, "primal integral")));
        const rows = lines(integrals, (entry, best) => [name(entry.variant), `${short(100 * entry.score)} %`,
          short(entry.ratio), interval(entry, best)]);
        parts.push(table(["variant", `mean over ${integrals.problems} problems`, "times the least",
          "95 % interval, jointly"], rows));
        if (integrals.without.length)
          parts.push(element("p", `Without incumbents over time: ${integrals.without.map(name).join(", ")}.`));
      }
      body.replaceChildren(...parts);
    };
    bar.addEventListener("input", fill);
    document.addEventListener("chosen", (event) => {
      if (event.target.id !== "solves") return;
      shown = event.detail.map((n) => data.rows[n]);
      fill();
    });
    fill();
  }
}
