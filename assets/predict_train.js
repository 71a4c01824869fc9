/* Second step: trainings are ordered, and listed with how far each is. */
(function () {
  "use strict";

  const MOVING_MS = 1000;
  const RESTING_MS = 10000;
  const MOVING = ["waiting", "running", "stopping"];
  const AGAIN = ["stopped", "failed", "broken off"];
  const SHOWN_LEADERS = 5;
  const WORDS = {
    waiting: "Waits for its turn",
    stopping: "Stops",
    stopped: "Called off",
    failed: "Failed",
    "broken off": "Broken off",
    finished: "Trained, waits to be recorded",
    recorded: "Trained and recorded",
  };
  const STAGES = {
    preparing: "Reads the table",
    starting: "Starts H2O",
    training: "Trains",
    evaluating: "Tries the models on the rows held out",
  };

  const { make, ask, keepRows } = window.moescope;
  const { asked, attempt, button, byId, chosen, count, keep, leaderboard, metric, now, offer, over, rounded, say } =
    window.moescope.predict;
  const { redraw, result, steps, time } = window.moescope.predict;

  let rows = new Map(); // by the id of the training
  let timer = null;
  let polls = 0; // counts them, so that a late answer is dropped
  let offered = null; // the table and target whose metrics are offered

  function open() {
    prepare();
    poll();
  }

  /* The order as the first step leaves it. */
  function prepare() {
    const found = chosen();
    byId("order").hidden = !found;
    if (!found) return;
    const { table: of, plan, features, layers, order } = found;
    const renews = order.follows ? " It becomes a challenger of the model that it renews." : "";
    byId("ordered").textContent = `${plan.target} of ${of.name}, from ${count(features, "column")}; a fifth of the rows is held out.${renews}`;
    byId("all-layers").closest(".form-check").hidden = layers.length < 2;
    byId("name").placeholder = of.name;
    const now_ = `${of.id} ${plan.target} ${plan.task}`;
    if (offered === now_) return;
    offered = now_;
    offer(byId("metric"), plan.metrics.map((name) => [name, metric(name)]), plan.metrics[0]);
    budget();
  }

  function budget() {
    byId("count").parentElement.hidden = byId("budget").value !== "models";
  }

  async function begin() {
    const submit = byId("order").querySelector("[type=submit]");
    const found = chosen();
    if (!found || submit.disabled) return;
    const limited = byId("budget").value;
    const order = {
      ...found.order,
      metric: byId("metric").value,
      seed: byId("seed").valueAsNumber || 0,
      name: byId("name").value.trim(),
      ...(limited === "models" ? { models: byId("count").valueAsNumber || 1 } : { seconds: Number(limited) }),
    };
    const every = byId("all-layers").checked && found.layers.length > 1;
    // Each layer is a model of its own, and so has a name of its own.
    const named = ({ table: id, stack, block }) => ({ table: id, name: order.name && `${order.name}, ${stack} block ${block}` });
    const tables = every ? found.layers.map(named) : [{}];
    submit.disabled = true;
    say("Starting");
    await attempt(async () => {
      let last;
      for (const each of tables) last = await ask("trainings", { method: "POST", body: { ...order, ...each }, failing: "Not started" });
      if (!byId("list")) return;
      say(`${last.name} is in the list below.`);
      keep({ training: last.id, follows: "" });
      await poll();
      if (rows.has(last.id)) rows.get(last.id).element.focus();
    });
    submit.disabled = false;
  }

  /* The row of a training; `update` writes only what has changed, so that nothing loses the focus. */
  function rowOf(id) {
    const name = make("h3");
    const about = make("span", { className: "quiet" });
    const state = make("p", { className: "state" });
    const bar = make("progress");
    const facts = make("p", { className: "quiet" });
    const leaders = make("div", { className: "scroller" });
    const summary = make("summary");
    const reasons = make("ul");
    const failures = make("details", {}, summary, reasons);
    const buttons = {
      result: button("Results", "result"),
      stop: button("Stop and keep the best", "stop"),
      cancel: button("Cancel", "cancel"),
      again: button("Begin again", "again"),
      remove: button("Remove", "ask"),
    };
    const question = make("p", { id: `predict-question-${id}` }, "Remove its models from this server? What is recorded and registered stays.");
    const keepIt = button("Keep it", "keep");
    const sure = make("div", { className: "sure", hidden: true }, question, button("Yes, remove", "remove"), keepIt);
    sure.setAttribute("role", "group");
    sure.setAttribute("aria-labelledby", question.id);
    const actions = make("div", { className: "actions" }, ...Object.values(buttons));
    const element = make("li", { tabIndex: -1 }, make("div", {}, name, about), state, bar, facts, leaders, failures, actions, sure);
    element.dataset.training = id;

    function write(place, words) {
      if (place.textContent !== words) place.textContent = words;
    }

    function update(line) {
      const moves = MOVING.includes(line.status);
      const status = line.status === "running" ? STAGES[line.stage] : WORDS[line.status];
      element.dataset.status = line.status;
      write(name, line.name);
      write(about, `${line.target} of ${line.source} · ${time(line.created)}`);
      write(state, status + (line.now ? `: ${line.now}` : "") + (line.detail ? `: ${line.detail}` : ""));
      write(facts, told(line));
      bar.hidden = !moves;
      progress(line);
      const shown = JSON.stringify([line.leaders.slice(0, SHOWN_LEADERS), line.metric, over(line)]);
      if (leaders.dataset.shown !== shown) {
        leaders.dataset.shown = shown;
        leaders.replaceChildren(...(line.leaders.length && !over(line) ? [leaderboard(line, SHOWN_LEADERS)] : []));
      }
      failures.hidden = !line.failures.length;
      write(summary, `${count(line.failures.length, "model")} failed`);
      const failed = JSON.stringify(line.failures);
      if (reasons.dataset.shown !== failed) {
        reasons.dataset.shown = failed;
        reasons.replaceChildren(...line.failures.map(({ model, reason }) => make("li", {}, `${model}: ${reason}`)));
      }
      buttons.result.hidden = !over(line);
      buttons.stop.hidden = line.status !== "running" || !line.leaders.length;
      buttons.cancel.hidden = !moves;
      buttons.again.hidden = !AGAIN.includes(line.status);
      buttons.remove.hidden = moves || !sure.hidden;
      Object.values(buttons).forEach((each) => each.setAttribute("aria-label", `${each.textContent}: ${line.name}`));
    }

    /* How far it is, by models or by time; while that is unknown the bar only moves. */
    function progress({ budget: { seconds, models }, leaders: found, left, stage, seconds: gone }) {
      bar.setAttribute("aria-label", "How far the training is");
      if (stage !== "training" || left === null || !(seconds || models)) return bar.removeAttribute("value");
      bar.max = 1;
      bar.value = gone / (gone + left || 1);
    }

    return { element, update, sure, keepIt, remove: buttons.remove };
  }

  function told(line) {
    const { budget: { seconds, models }, left, seconds: gone, leaders, status, seed } = line;
    const found = [models ? `at most ${count(models, "model")}` : `at most ${duration(seconds || 300)}`, `seed ${seed}`];
    if (leaders.length) found.push(count(leaders.length, "model") + (MOVING.includes(status) ? " so far" : ""));
    if (over(line)) found.push(`best ${leaders[0].name}, ${metric(line.metric)} ${rounded(leaders[0].holdout[line.metric])} on the rows held out`);
    if (gone) found.push(duration(gone));
    if (status === "running" && left !== null) found.push(left < 5 ? "a few seconds left" : `about ${duration(left)} left`);
    return found.join(" · ");
  }

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${rounded(seconds / 3600)} h`;
  }

  function list(lines) {
    keepRows(byId("list"), byId("train-title"), rows, lines, rowOf);
    if (!lines.length) byId("list").replaceChildren(make("li", { className: "told" }, "Nothing was trained yet. Begin with a table in the step Data."));
    else byId("list").querySelectorAll(".told").forEach((each) => each.remove());
  }

  async function poll() {
    clearTimeout(timer);
    const mine = (polls += 1);
    if (!byId("list") || now() !== "train" || document.hidden) return;
    let wait = RESTING_MS;
    try {
      const { trainings } = await ask("trainings?limit=200");
      if (mine !== polls || !byId("list")) return;
      list(trainings);
      if (trainings.some(({ status, detail }) => MOVING.includes(status) || (status === "finished" && !detail))) wait = MOVING_MS;
      attempt(() => result(trainings.find(({ id }) => id === asked().training)));
    } catch (error) {
      say("", error.message);
    }
    if (mine === polls) timer = setTimeout(poll, wait);
  }

  async function act(id, does) {
    say("");
    await attempt(async () => {
      if (does === "remove") await ask(`trainings/${id}`, { method: "DELETE" });
      else await ask(`trainings/${id}/${does}`, { method: "POST" });
    });
    if (does === "remove" && asked().training === id) keep({ training: "" });
    poll();
  }

  function sure(row, open_) {
    row.sure.hidden = !open_;
    row.remove.hidden = open_;
    (open_ ? row.keepIt : row.remove).focus();
  }

  const rowAt = (place) => {
    const element = place.closest && place.closest("#predict-list [data-training]");
    return element && rows.get(element.dataset.training);
  };

  document.addEventListener("click", ({ target }) => {
    const row = rowAt(target);
    const { does } = target.dataset || {};
    if (!row || !does) return;
    const id = row.element.dataset.training;
    if (does === "ask" || does === "keep") sure(row, does === "ask");
    else if (does === "result") {
      keep({ training: id });
      attempt(() => result({ id, status: row.element.dataset.status }, true));
    } else act(id, does);
  });

  document.addEventListener("keydown", ({ key, target }) => {
    const row = rowAt(target);
    if (key === "Escape" && row && !row.sure.hidden) sure(row, false);
  });

  document.addEventListener("change", ({ target }) => {
    if (target.id === "predict-budget") budget();
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "predict-order") return;
    event.preventDefault();
    begin();
  });

  document.addEventListener("visibilitychange", () => byId("list") && poll());

  function start() {
    polls += 1;
    rows = new Map();
    offered = null;
  }

  steps.train = { start, open, theme: redraw };
})();
