"use strict";
(() => {
  // Rows are lists, see `page_rows` and `_answer` in views/page/rows.py.
  const [BENCHMARK, ID, QUERY, VIDEO, TRUTH, DURATION, ANSWERS, SALIENCY] = [0, 1, 2, 3, 4, 5, 6, 7];
  const [SCORE, SPANS, WORDS, REASON, STATE, PROMPT, HIGHLIGHTS] = [0, 1, 2, 3, 4, 5, 6];
  const ROW_HEIGHT = 62;
  const COLUMNS = 4;
  const page = (id) => document.getElementById(id);
  const data = JSON.parse(page("data").textContent);
  const { frames, reasons: noFrames } = JSON.parse(page("frames").textContent);
  const rows = data.rows;
  const texts = rows.map((row) =>
    [row[ID], row[QUERY], data.videos[row[VIDEO]].name, ...row[ANSWERS].map((answer) => (answer ? answer[WORDS] : ""))].join("\n").toLowerCase());
  const list = page("list"), shown = page("rows"), detail = page("detail");
  let order = [], chosen = -1;

  const make = (name, attributes = {}, ...children) => {
    const element = name === "svg" || name === "rect" ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const percent = (value) => `${Math.round(value)} %`;
  const seconds = (value) => `${Math.round(value * 10) / 10} s`;
  const scale = (row) => Math.max(row[DURATION], ...row[TRUTH].flat(), 0.001);
  const share = (row, time) => Math.max(0, Math.min(100, (100 * time) / scale(row)));
  const scoreName = (run) => (data.runs[run].kind === "moment" ? "IoU" : "mAP");

  // --- the choice of rows ---------------------------------------------------------------------------------------------------------
  const option = (value, text) => make("option", { value }, text);
  page("filter").append(option("all", "all"), option("read", "answers that were read"), option("unread", "answers that were not read"),
    option("failed", "requests without answer"));
  if (data.runs.length > 1) page("filter").append(option("better", "other run better than the first"), option("worse", "other run worse than the first"));
  data.reasons.slice(0, 200).forEach((reason, k) => reason && page("filter").append(option(`reason${k}`, reason.slice(0, 60))));
  data.runs.forEach((run, k) => page("of").append(option(String(k), `${run.name}: ${scoreName(k)}`)));
  page("benchmark").append(option("all", "all"), ...data.benchmarks.map((name, k) => option(String(k), name)));
  page("benchmark-label").hidden = data.benchmarks.length < 2;

  function pairOf(row, run) {
    const first = data.runs.findIndex((other) => other.benchmark === row[BENCHMARK]);
    const other = run !== first ? run : data.runs.findIndex((one, k) => k > first && one.benchmark === row[BENCHMARK]);
    const [a, b] = [row[ANSWERS][first], other >= 0 ? row[ANSWERS][other] : null];
    return a && b ? b[SCORE] - a[SCORE] : null;
  }
  function matches(row, k, wanted) {
    if (wanted.benchmark !== "all" && row[BENCHMARK] !== Number(wanted.benchmark)) return false;
    if (wanted.text && !texts[k].includes(wanted.text)) return false;
    const answer = row[ANSWERS][wanted.run];
    if (!answer) return wanted.filter === "all" && wanted.low <= 0 && wanted.high >= 100;
    if (answer[SCORE] < wanted.low || answer[SCORE] > wanted.high) return false;
    switch (wanted.filter) {
      case "all": return true;
      case "read": return answer[STATE] === 0;
      case "unread": return answer[STATE] === 1;
      case "failed": return answer[STATE] === 2;
      case "better": return pairOf(row, wanted.run) > 0;
      case "worse": return pairOf(row, wanted.run) < 0;
      default: return `reason${answer[REASON]}` === wanted.filter;
    }
  }
  function select() {
    const number = (id, otherwise) => (page(id).value === "" ? otherwise : Number(page(id).value));
    const wanted = {
      text: page("search").value.trim().toLowerCase(), filter: page("filter").value, benchmark: page("benchmark").value,
      run: Number(page("of").value), low: number("low", 0), high: number("high", 100),
    };
    const score = (k) => (rows[k][ANSWERS][wanted.run] || [-1])[SCORE];
    const length = (k) => (rows[k][TRUTH].length ? rows[k][TRUTH][0][1] - rows[k][TRUTH][0][0] : 0);
    const sorts = {
      worst: (a, b) => score(a) - score(b), best: (a, b) => score(b) - score(a), length: (a, b) => length(b) - length(a),
      query: (a, b) => rows[a][QUERY].localeCompare(rows[b][QUERY]),
      difference: (a, b) => Math.abs(pairOf(rows[b], wanted.run) || 0) - Math.abs(pairOf(rows[a], wanted.run) || 0),
    };
    const current = order[chosen];
    order = rows.map((_, k) => k).filter((k) => matches(rows[k], k, wanted));
    const sort = sorts[page("sort").value];
    if (sort) order.sort((a, b) => sort(a, b) || a - b);
    page("count").textContent = `${order.length} of ${rows.length} queries`;
    shown.style.height = `${order.length * ROW_HEIGHT}px`;
    chosen = order.indexOf(current);
    list.scrollTop = chosen >= 0 ? Math.max(0, chosen * ROW_HEIGHT - 200) : 0;
    draw();
    if (chosen < 0 && order.length) choose(0, false);
    if (!order.length) detail.replaceChildren(make("p", { class: "note" }, "No query matches; widen the search or the filter."));
  }

  // --- the list: only the rows in sight exist --------------------------------------------------------------------------------------
  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - 5);
    const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + 5);
    const made = [];
    for (let at = first; at < last; at++) made.push(rowElement(at));
    shown.replaceChildren(...made);
  }
  function rowElement(at) {
    const row = rows[order[at]];
    const scores = row[ANSWERS].map((answer, run) => (answer ? make("span", { class: `score run${run}` }, String(Math.round(answer[SCORE]))) : null));
    const element = make("div", { class: "row", role: "option", id: `row${at}`, "aria-selected": String(at === chosen),
      "aria-setsize": order.length, "aria-posinset": at + 1, style: `top:${at * ROW_HEIGHT}px` },
      make("div", { class: "what" }, make("span", { class: "query", dir: "auto" }, row[QUERY] || "(no query)"),
        data.benchmarks.length > 1 ? make("span", { class: "of" }, data.benchmarks[row[BENCHMARK]]) : null, ...scores), bars(row));
    element.addEventListener("click", () => choose(at, false));
    return element;
  }
  function bars(row) {
    const svg = make("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
    const runs = row[ANSWERS].filter(Boolean).length || 1;
    const rect = (left, right, y, height, name) =>
      svg.append(make("rect", { class: name, x: left, y, width: Math.max(0.6, right - left), height }));
    rect(0, 100, 10, 1, "track");
    row[TRUTH].forEach(([start, end]) => rect(share(row, start), share(row, end), 1, 8, "bar-truth"));
    let k = 0;
    row[ANSWERS].forEach((answer, run) => {
      if (!answer) return;
      const height = 12 / runs, y = 11 + k++ * height;
      answer[SPANS].forEach((span) => rect(share(row, Math.min(...span)), share(row, Math.max(...span)), y, height - 1, `bar run${run}`));
      answer[HIGHLIGHTS].forEach(([time]) => rect(share(row, time), share(row, time) + 0.5, y, height - 1, `bar run${run}`));
    });
    return svg;
  }
  function choose(at, scroll = true) {
    if (at < 0 || at >= order.length) return;
    chosen = at;
    if (scroll) {
      const top = at * ROW_HEIGHT;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
    }
    draw();
    list.setAttribute("aria-activedescendant", `row${at}`);
    show(rows[order[at]]);
  }

  // --- one query ------------------------------------------------------------------------------------------------------------------
  function show(row) {
    const video = data.videos[row[VIDEO]];
    detail.replaceChildren(
      make("h3", { dir: "auto" }, row[QUERY] || "(no query)"),
      make("p", { class: "where" }, `${data.benchmarks[row[BENCHMARK]]} · id ${row[ID]} · ${video.name} · ${seconds(row[DURATION])}`),
      player(video), timeline(row), ...strips(row), ...row[ANSWERS].map((answer, run) => (answer ? words(row, answer, run) : null)).filter(Boolean));
    detail.scrollTop = 0;
  }
  function player(video) {
    if (!video.url) return make("div", { class: "placeholder", role: "note" }, `No player: ${video.note}`);
    const element = make("video", { controls: "", preload: "metadata", src: video.url, "aria-label": `video ${video.name}` });
    element.dataset.start = video.start || 0; // times of a query about a part count from the part's start
    if (video.start) element.addEventListener("loadedmetadata", () => { element.currentTime = video.start; }, { once: true });
    element.muted = true;
    element.addEventListener("error", () => element.replaceWith(make("div", { class: "placeholder", role: "note" },
      `No player: this browser cannot open ${video.url} (moved, or a format it does not play)`)));
    return element;
  }
  function play(start, end) {
    const element = detail.querySelector("video");
    if (!element) return;
    const from = Number(element.dataset.start);
    const stop = () => { if (element.currentTime >= from + end) { element.pause(); element.removeEventListener("timeupdate", stop); } };
    element.currentTime = from + start;
    element.addEventListener("timeupdate", stop);
    element.play().catch(() => {});
  }
  function timeline(row) {
    const box = make("div", { class: "timeline" });
    const line = (name, key, spans, value) => {
      const track = make("div", { class: "track-box" });
      spans.forEach(([start, end, label, tick]) => {
        const [low, high] = [Math.min(start, end), Math.max(start, end)];
        const span = make("button", { class: `span ${key}${tick ? " tick" : ""}`, type: "button", title: label, "aria-label": `play ${label}`,
          style: `left:${share(row, low)}%;${tick ? "" : `width:${Math.max(0.4, share(row, high) - share(row, low))}%`}` });
        span.addEventListener("click", () => play(low, tick ? low + 2 : high));
        track.append(span);
      });
      box.append(make("span", { class: "name", title: name }, make("span", { class: `key ${key}` }), name), make("span", { class: "value" }, value), track);
    };
    const range = ([start, end]) => [start, end, `${seconds(start)} to ${seconds(end)}`];
    line("annotated", "truth", row[TRUTH].map(range), row[TRUTH].length === 1 ? row[TRUTH].map(([a, b]) => `${seconds(a)} – ${seconds(b)}`)[0] : `${row[TRUTH].length} spans`);
    row[ANSWERS].forEach((answer, run) => {
      if (!answer) return;
      const marks = answer[HIGHLIGHTS].map(([time, score]) => [time, time, `${seconds(time)}, score ${score}`, true]);
      const state = ["", " not read", " no answer"][answer[STATE]];
      line(data.runs[run].name, `run${run}`, answer[SPANS].length ? answer[SPANS].map(range) : marks, `${scoreName(run)} ${percent(answer[SCORE])}${state}`);
    });
    const axis = make("div", { class: "axis" });
    for (let k = 0; k <= 4; k++) axis.append(make("span", { style: `left:${25 * k}%` }, seconds((scale(row) * k) / 4)));
    box.append(axis);
    return box;
  }
  const sprites = new Map();
  function spriteUrl(sprite) {
    if (!sprites.has(sprite.name)) {
      const inert = page(`sprite-${sprite.name}`);
      sprites.set(sprite.name, inert ? `data:image/jpeg;base64,${inert.textContent}` : sprite.url);
    }
    return sprites.get(sprite.name);
  }
  function strips(row) {
    const looks = (frames[row[VIDEO]] || []).filter((sprite) => sprite.runs.some((run) => row[ANSWERS][run]));
    if (!looks.length) {
      const why = noFrames[row[VIDEO]] || "left out to keep the report small; numpro report --pictures all shows all";
      return [make("div", { class: "placeholder", role: "note" }, `No frames: ${why}`)];
    }
    const { numbers, shown } = looks[0];
    const part = numbers.length < shown ? `${numbers.length} of the ${shown} frames that the model saw` : "The frames that the model saw";
    const about = make("p", { class: "where" }, `${part}, with number and time. The bars under a frame are the moments it is in.`);
    return [about, ...looks.flatMap((sprite) => (looks.length > 1
      ? [make("p", { class: "where look" }, `frames of ${sprite.runs.filter((run) => row[ANSWERS][run]).map((run) => data.runs[run].name).join(", ")}`), strip(row, sprite)] : [strip(row, sprite)]))];
  }
  function strip(row, sprite) {
    const within = (time, spans) => spans.some(([start, end]) => time >= Math.min(start, end) && time <= Math.max(start, end));
    const box = make("div", { class: "strip", role: "group", "aria-label": "Frames as the model saw them" });
    sprite.numbers.forEach((number, k) => {
      const time = sprite.times[k];
      const columns = Math.min(COLUMNS, sprite.numbers.length);
      const picture = make("span", { class: "picture", role: "img", "aria-label": `frame ${number} at ${seconds(time)}`,
        style: `width:${sprite.w}px;height:${sprite.h}px;background-position:-${sprite.w * (k % columns)}px -${sprite.h * Math.floor(k / columns)}px` });
      picture.style.backgroundImage = `url("${spriteUrl(sprite)}")`;
      const marks = make("span", { class: "marks" });
      if (within(time, row[TRUTH])) marks.append(make("i", { class: "truth" }));
      row[ANSWERS].forEach((answer, run) => answer && within(time, answer[SPANS]) && marks.append(make("i", { class: `run${run}` })));
      const frame = make("button", { class: "frame", type: "button", title: `frame ${number}, ${seconds(time)}` }, picture, marks, `${number} · ${seconds(time)}`);
      frame.addEventListener("click", () => play(time, time + 2));
      box.append(frame);
    });
    return box;
  }
  function words(row, answer, run) {
    return make("section", { class: `answer run${run}`, "aria-label": data.runs[run].name },
      make("b", {}, data.runs[run].name),
      make("p", { dir: "auto" }, answer[WORDS] || (answer[STATE] === 2 ? "(no answer)" : "(empty answer)")),
      make("p", { class: "reason" }, data.reasons[answer[REASON]]),
      make("details", {}, make("summary", {}, "prompt"), make("p", { dir: "auto" }, (data.prompts[answer[PROMPT]] || "not logged").replaceAll("\0", () => row[QUERY]))));
  }

  // --- keys -----------------------------------------------------------------------------------------------------------------------
  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA", "VIDEO"].includes(event.target.tagName);
    if (event.key === "Escape" && event.target === page("search")) { page("search").value = ""; select(); list.focus(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    if (event.key in steps && (event.key.length === 1 || event.target === list)) {
      event.preventDefault();
      choose(Math.max(0, Math.min(order.length - 1, chosen + steps[event.key])));
    } else if (event.key === "/") { event.preventDefault(); page("search").focus(); page("search").select(); }
    else if (event.key === "p") { const span = detail.querySelector(".span"); if (span) span.click(); }
  });
  let waiting = 0;
  page("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(select, 120); });
  ["filter", "benchmark", "of", "low", "high", "sort"].forEach((id) => page(id).addEventListener("change", select));
  page("tools").addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", () => requestAnimationFrame(draw));
  addEventListener("resize", draw);
  select();
})();
