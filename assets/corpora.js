/* The passes over corpora: how far each is, and what can be done with it. */
(function () {
  "use strict";

  const MOVING_MS = 1000;
  const RESTING_MS = 10000;
  const MOVING = ["waiting", "running", "pausing"];
  const WORDS = {
    waiting: "Waits for its turn",
    running: "Reading",
    pausing: "Pauses after this batch",
    paused: "Paused",
    stopped: "Stopped",
    failed: "Failed",
    finished: "Read, waits to be recorded",
    recorded: "Recorded",
  };
  const PAUSABLE = ["waiting", "running"];
  const RESUMABLE = ["pausing", "paused", "stopped", "failed"];
  const OVER = ["finished", "recorded"];

  const { to, skip, make, ask, keepRows } = window.moescope;
  const byId = (id) => document.getElementById(`corpora-${id}`);
  const number = (n) => n.toLocaleString("en");
  const rounded = (n) => n.toLocaleString("en", { maximumSignificantDigits: 3 });
  const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

  let rows = new Map(); // by the id of the pass
  let timer = null;
  let asked = 0; // counts the polls, so that a late answer is dropped

  const begins = ({ status, documents }) => status === "running" && !documents;

  /* So long it goes on, in words. */
  function left(seconds) {
    if (seconds < 5) return "a few seconds left";
    if (seconds < 90) return `about ${Math.ceil(seconds / 10) * 10} seconds left`;
    if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes left`;
    return `about ${rounded(seconds / 3600)} hours left`;
  }

  function facts(line) {
    const found = [count(line.documents, "document"), count(line.tokens, "token")];
    if (line.cut) found.push(`${count(line.cut, "document")} cut at the limit`);
    if (line.speed) found.push(`${rounded(line.speed)} tokens per second`);
    if (line.status === "running" && line.left !== null && line.done < line.size) found.push(left(line.left));
    return found.join(" · ");
  }

  function skips(line) {
    return line.skips.map(({ reason, count: n, examples }) => {
      const places = examples.map(({ file, line: at }) => `${file}:${at}`).join(", ");
      return make("li", {}, `${reason}: ${number(n)}${places ? `, for example ${places}` : ""}`);
    });
  }

  /* The row of a pass; `update` writes only what has changed, so that nothing loses the focus. */
  function rowOf(id) {
    const name = make("h3");
    const model = make("span", { className: "quiet" });
    const state = make("p", { className: "state" });
    const bar = make("progress");
    const counted = make("p", { className: "quiet" });
    const summary = make("summary");
    const reasons = make("ul");
    const skipped = make("details", {}, summary, reasons);
    const experts = make("a", { href: to(`/experts?run=${id}`) }, "Experts");
    const pause = button("Pause", "pause");
    const resume = button("Go on", "resume");
    const remove = button("", "ask");
    const question = make("p", { id: `corpora-question-${id}` });
    const sure = button("", "remove");
    const keep = button("Keep it", "keep");
    const sureness = make("div", { className: "sure", hidden: true }, question, sure, keep);
    const buttons = make("div", { className: "actions" }, experts, pause, resume, remove);
    const element = make("li", { tabIndex: -1 }, make("div", {}, name, model), state, bar, counted, skipped, buttons, sureness);
    element.dataset.pass = id;
    sureness.setAttribute("role", "group");
    sureness.setAttribute("aria-labelledby", question.id);

    function write(place, words) {
      if (place.textContent !== words) place.textContent = words;
    }

    function update(line) {
      const over = OVER.includes(line.status);
      element.dataset.status = line.status;
      write(name, line.name);
      write(model, `${line.model} · ${line.created.slice(0, 16).replace("T", " ")} UTC`);
      write(state, (begins(line) ? "Getting ready" : WORDS[line.status]) + (line.detail ? `: ${line.detail}` : ""));
      write(counted, facts(line));
      write(summary, `${count(line.skipped, "document")} skipped`);
      write(remove, over ? "Remove" : "Cancel");
      write(sure, over ? "Yes, remove" : "Yes, cancel");
      write(question, asks(line, over));
      bar.hidden = over;
      bar.max = line.size || 1;
      bar.value = Math.min(line.done, bar.max);
      bar.setAttribute("aria-label", `Read of ${line.name}`);
      [
        [pause, `Pause ${line.name}`],
        [resume, `Go on with ${line.name}`],
        [remove, `${remove.textContent} ${line.name}`],
        [experts, `Experts of ${line.name}`],
      ].forEach(([place, label]) => place.setAttribute("aria-label", label));
      swap(pause, resume, PAUSABLE.includes(line.status), RESUMABLE.includes(line.status));
      experts.hidden = !line.counted;
      skipped.hidden = !line.skipped;
      const now = JSON.stringify(line.skips);
      if (reasons.dataset.shown !== now) {
        reasons.dataset.shown = now;
        reasons.replaceChildren(...skips(line));
      }
    }

    return { element, update, sureness, keep, remove };
  }

  function button(words, does) {
    const made = make("button", { type: "button", className: "action" }, words);
    made.dataset.does = does;
    return made;
  }

  /* Of two buttons that take turns the one that comes takes over the focus. */
  function swap(one, other, showOne, showOther) {
    const focused = [one, other].includes(document.activeElement);
    one.hidden = !showOne;
    other.hidden = !showOther;
    if (focused && (showOne || showOther)) (showOne ? one : other).focus();
  }

  function asks(line, over) {
    if (line.status === "recorded") return "Remove its counts from this server? The recorded run stays.";
    return over ? "Remove its counts? It is not recorded yet." : "Cancel this pass? What it has counted goes.";
  }

  /* The list as the server tells it, the newest first. */
  function list(lines) {
    keepRows(byId("list"), byId("heading"), rows, lines, rowOf);
    byId("none").hidden = lines.length > 0;
  }

  const moves = ({ status, detail }) => MOVING.includes(status) || (status === "finished" && !detail);

  async function poll() {
    clearTimeout(timer);
    const mine = (asked += 1);
    if (!byId("list") || document.hidden) return;
    let wait = RESTING_MS;
    try {
      const { corpora } = await ask("corpora?limit=200");
      if (mine !== asked || !byId("list")) return;
      list(corpora);
      byId("gone").hidden = true;
      if (corpora.some(moves)) wait = MOVING_MS;
    } catch (error) {
      if (mine !== asked || !byId("list")) return;
      byId("gone").hidden = false;
    }
    timer = setTimeout(poll, wait);
  }

  /* A pass that was just begun, and the focus on it. */
  async function show({ id }) {
    await poll();
    const row = rows.get(id);
    if (!row) return;
    row.element.focus();
    row.element.scrollIntoView({ block: "nearest" });
  }

  async function act(id, does) {
    const { say } = window.moescope.corpus;
    say("");
    try {
      if (does === "remove") await ask(`corpora/${id}`, { method: "DELETE" });
      else await ask(`corpora/${id}/${does}`, { method: "POST" });
    } catch (error) {
      if (byId("list")) say("", error.message);
    }
    poll();
  }

  function sure(row, open) {
    row.sureness.hidden = !open;
    row.remove.hidden = open;
    (open ? row.keep : row.remove).focus();
  }

  const rowAt = (place) => {
    const element = place.closest && place.closest("[data-pass]");
    return element && rows.get(element.dataset.pass);
  };

  document.addEventListener("click", ({ target }) => {
    const row = rowAt(target);
    const { does } = target.dataset || {};
    if (!row || !does) return;
    if (does === "ask" || does === "keep") sure(row, does === "ask");
    else act(row.element.dataset.pass, does);
  });

  document.addEventListener("keydown", ({ key, target }) => {
    const row = rowAt(target);
    if (key === "Escape" && row && !row.sureness.hidden) sure(row, false);
  });

  document.addEventListener("visibilitychange", poll);

  function start() {
    // The page is drawn a moment after Dash tells of it.
    requestAnimationFrame(() => {
      window.moescope.corpus.start();
      if (!byId("list")) return;
      rows = new Map();
      byId("list").replaceChildren();
      poll();
    });
    return skip();
  }

  window.moescope.passes = { show };
  window.dash_clientside = Object.assign({}, window.dash_clientside, { corpora: { start } });
})();
