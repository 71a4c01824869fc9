/* What came of a training: how good its best model is, what it rests on, what it was made of. */
(function () {
  "use strict";

  const MOST_LEADERS = 1000;
  const CAPTIONS = {
    confusion: ["Which value each true one was taken for", "rows are true values, columns predicted ones; the diagonal is right"],
    residuals: ["How far off the predictions are", "true minus predicted over predicted, rows held out"],
    importance: ["What the best model rests on", "how much worse it is with one column shuffled, ± standard deviation of the shuffles"],
    explained: ["How much of the routing the surface tells, by layer", "the best model beside who knows only how often each expert is chosen; bars are 95 % intervals over documents"],
  };

  const { make, ask, to } = window.moescope;
  const { asked, attempt, button, byId, count, draw, go, metric, rounded, scroller, steps, table, themeNow } =
    window.moescope.predict;

  const over = ({ status }) => ["finished", "recorded"].includes(status);

  let shown = ""; // the training and its status that are shown

  /* Shows the result of a training, once there is one. */
  async function result(line, focus = false) {
    const there = line && over(line);
    const key = there ? `${line.id} ${line.status}` : "";
    if (key === shown && !focus) return;
    shown = key;
    if (!there) return byId("result").replaceChildren();
    const found = await ask(`trainings/${line.id}`);
    if (shown !== key || !byId("result")) return;
    byId("result").replaceChildren(...parts(found));
    if (focus) byId("result").firstChild.focus();
    await figures();
  }

  async function figures() {
    const places = [...byId("result").querySelectorAll("[data-figure]")];
    if (!places.length) return;
    const id = shown.split(" ")[0];
    const found = await ask(`trainings/${id}/figures?theme=${themeNow()}`);
    for (const place of places) {
      const { figure } = place.dataset;
      if (found[figure]) await draw(place, found[figure], CAPTIONS[figure].join(": "));
      else place.closest("figure").hidden = true;
    }
  }

  function parts(found) {
    const { name, table: about, task, router } = found;
    const title = make("h3", { tabIndex: -1 }, `Results of ${name}`);
    const rows = `${count(about.training, "row")} trained on, ${count(about.holdout, "row")} held out`;
    const use = button("Use it", "use");
    return [
      title,
      make("p", { className: "quiet" }, [rows, about.skipped ? `${count(about.skipped, "row")} skipped` : "", `seed ${found.seed}`, found.stopped ? "stopped early" : ""].filter(Boolean).join(" · ")),
      scroller("How good it is", scores(found)),
      make("p", { className: "quiet" }, note(router)),
      ...(router ? [drawing("explained")] : []),
      drawing(task === "regression" ? "residuals" : "confusion"),
      drawing("importance"),
      make("details", {}, make("summary", {}, "All models"), scroller("All models", leaderboard(found, MOST_LEADERS))),
      make("details", {}, make("summary", {}, "How it was prepared"), prepared(found)),
      make("div", { className: "actions" }, ...(found.run_id ? [use] : []), ...(router ? [atlas(router)] : [])),
    ];
  }

  /* What each expert takes, beside how well it can be told. */
  const atlas = ({ pass, layer }) =>
    make("a", { href: to(`/experts?run=${pass}&layer=${layer + 1}`) }, "Experts of this layer");

  /* The best model on the rows held out, beside one that knows the target alone. */
  function scores({ leaders, baseline, router }) {
    const [best] = leaders;
    const names = Object.keys(best.holdout).filter((name) => !/_(low|high)$/.test(name));
    const cell = (of, name) => {
      const low = of[`${name}_low`];
      const between = low === undefined ? "" : ` (${rounded(low)} to ${rounded(of[`${name}_high`])})`;
      return rounded(of[name]) + between;
    };
    const other = router ? "load alone" : "target alone";
    return table(
      ["On the rows held out", best.name, other],
      names.map((name) => [metric(name), cell(best.holdout, name), cell(baseline, name)]),
    );
  }

  /* The models so far, or in the end, the best first. */
  function leaderboard({ leaders, metric: ranked }, most) {
    const names = Object.keys(leaders[0].validation).sort((a, b) => (b === ranked) - (a === ranked));
    const held = ranked && leaders.some(({ holdout }) => ranked in holdout);
    const head = ["Model", ...names.map(metric), ...(held ? [`${metric(ranked)}, held out`] : [])];
    const shown = leaders.slice(0, most).map(({ name, validation, holdout }) => [
      name,
      ...names.map((each) => rounded(validation[each])),
      ...(held ? [rounded(holdout[ranked])] : []),
    ]);
    if (leaders.length > most) shown.push([`and ${count(leaders.length - most, "model")} more`, ...head.slice(1).map(() => "")]);
    return table(head, shown);
  }

  const note = (router) =>
    router
      ? "Load alone: the majority expert, and a log loss that is the entropy of the load. No document is on both sides; in brackets 95 % intervals over documents."
      : "Target alone: the most frequent value or the mean, whatever the row. In brackets 95 % intervals.";

  function prepared({ table: about, versions, metric: ranked, run_id: run }) {
    const dropped = Object.entries(about.dropped || {}).map(([name, why]) => `${name} (${why})`);
    const lines = [
      ["Learnt from", Object.entries(about.features || {}).map(([name, kind]) => `${name} (${kind})`).join(", ")],
      ["Left out", dropped.join(", ") || "nothing"],
      ["Hashed", (about.hashed || []).join(", ") || "nothing"],
      ["Kept together", about.group || "nothing"],
      ["Missing values", { keep: "kept as missing", fill: "filled in", refuse: "their rows left out" }[about.missing] || ""],
      ["Notes", about.notes.join("; ") || "none"],
      ["Ranked by", metric(ranked)],
      ["MLflow run", run || "not recorded yet"],
      ["Table", `SHA-256 ${about.digest}`],
      ["Versions", Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")],
    ];
    return table(["", ""], lines);
  }

  function drawing(name) {
    const place = make("div", { className: "plot" });
    place.dataset.figure = name;
    const [title, how] = CAPTIONS[name];
    return make("figure", {}, make("h4", {}, title), place, make("figcaption", { className: "caption" }, `${how[0].toUpperCase()}${how.slice(1)}.`));
  }

  document.addEventListener("click", ({ target }) => {
    const { does } = target.dataset || {};
    if (does !== "use" || !target.closest("#predict-result")) return;
    attempt(async () => {
      const { predictors } = await ask("predictors");
      const mine = predictors.find(({ versions }) => versions.some(({ training }) => training === asked().training));
      const version = mine && mine.versions.find(({ training }) => training === asked().training).version;
      if (mine) go("use", { model: mine.name, version: version === mine.champion ? "" : String(version) });
      else throw new Error("This training's model is not registered.");
    });
  });

  Object.assign(steps, { result: { start: () => (shown = "") } });
  Object.assign(window.moescope.predict, { leaderboard, over, redraw: figures, result });
})();
