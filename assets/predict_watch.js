/* Fifth step: requests to a model, drift of what it is asked, quality by labels that came later,
   and how it is renewed. */
(function () {
  "use strict";

  const MOST_DAYS = 14;
  const VERDICTS = { "too few": "too few rows to tell", stable: "stable", some: "some drift", much: "much drift" };

  const { to, make, ask } = window.moescope;
  const { attempt, button, byId, count, go, keep, metric, models, none, rounded, say, scroller, steps, table, versions, whole } =
    window.moescope.predict;

  let model = null; // the one that is watched
  let questions = 0; // counts them, so that a late answer is dropped

  async function open() {
    const { chosen } = await models(byId("watch-model"));
    if (!byId("watched")) return;
    model = chosen || null;
    byId("watched").replaceChildren(...(model ? [] : [none()]));
    if (!model) return;
    versions(byId("watch-version"), model);
    await look();
  }

  async function look() {
    const mine = (questions += 1);
    const { value } = byId("watch-version");
    const query = value ? `?version=${value}` : "";
    const of = (what) => ask(`models/${encodeURIComponent(model.name)}/${what}${query}`, { failing: "Not known" });
    const traffic = await of("traffic");
    const parts = [heading("Requests"), ...requests(traffic)];
    // These need the model itself, which may not be there.
    try {
      const [drift, quality] = await Promise.all([of("drift"), of("quality")]);
      parts.push(heading("Drift, last 7 days"), ...drifted(drift), heading("Quality"), ...judged(quality));
    } catch (error) {
      parts.push(make("p", { className: "problem" }, error.message));
    }
    if (mine !== questions || !byId("watched")) return;
    byId("watched").replaceChildren(...parts, heading("Renew"), ...renewal(traffic.version));
  }

  const heading = (words) => make("h3", {}, words);

  function requests({ requests: all, rows, refused, failed, median_ms: median, p95_ms: p95, days }) {
    if (!all) return [make("p", { className: "told" }, "Nobody has asked this version in the last 30 days.")];
    const below = (ms) => (ms === null ? "–" : `${rounded(ms)} ms`);
    const facts = `${count(all, "request")} in 30 days, ${count(rows, "row")} answered · ${whole(refused)} refused, ${whole(failed)} failed · half of them below ${below(median)}, 95 % below ${below(p95)}`;
    const head = ["Day (UTC)", "Requests", "Rows", "Refused", "Failed", "Mean, ms"];
    const lines = days.slice(-MOST_DAYS).reverse().map((day) => [day.day, whole(day.requests), whole(day.rows), whole(day.refused), whole(day.failed), rounded((1000 * day.seconds) / day.requests)]);
    return [make("p", {}, facts), scroller("Requests by day", table(head, lines))];
  }

  /* Each column beside the training, with what chance alone would give. */
  function drifted({ features, predictions }) {
    const head = ["Column", "Verdict", "PSI", "by chance below", "Jensen–Shannon, bits", "Rows", "Training and now"];
    const lines = [...features, predictions].map((each) => [
      each.name || "(predictions)",
      VERDICTS[each.verdict],
      rounded(each.psi),
      rounded(each.chance),
      rounded(each.jensen_shannon),
      whole(each.rows),
      histogram(each),
    ]);
    const note = "PSI: population stability index of the column's bins. Predictions are compared with those for the rows held out.";
    return [scroller("Drift", table(head, lines)), make("p", { className: "caption" }, note)];
  }

  /* Pairs of bars, the training's share and the one now in each bin. */
  function histogram({ bins, training, now, rows }) {
    const total = training.reduce((a, b) => a + b, 0) || 1;
    const shares = bins.map((title, i) => [title, training[i] / total, rows ? now[i] / rows : 0]);
    const top = Math.max(...shares.flatMap(([, a, b]) => [a, b]), 1e-9);
    const place = make("span", { className: "histogram" });
    shares.forEach(([title, before, after]) => {
      const pair = make("span", { title: `${title}: ${rounded(100 * before)} % in the training, ${rounded(100 * after)} % now` });
      [["before", before], ["after", after]].forEach(([className, share]) => {
        const bar = make("i", { className });
        bar.style.height = `${(100 * share) / top}%`;
        pair.append(bar);
      });
      place.append(pair);
    });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", shares.map(([title, a, b]) => `${title}: ${rounded(100 * a)} % then, ${rounded(100 * b)} % now`).join("; "));
    return place;
  }

  function judged({ kept, labelled, metrics, holdout, baseline }) {
    const input = make("input", { type: "file", id: "predict-labels-file", accept: ".csv,text/csv" });
    const names = Object.keys(holdout).filter((name) => !/_(low|high)$/.test(name));
    const lines = names.map((name) => [metric(name), rounded(metrics[name]), rounded(holdout[name]), rounded(baseline[name])]);
    return [
      make("p", {}, `The truth of ${whole(labelled)} of ${count(kept, "answered row")} is known.`),
      ...(labelled ? [scroller("Quality", table(["", "Lately", "Held out of the training", "Target alone"], lines))] : []),
      make(
        "div",
        { className: "drop" },
        make("label", { htmlFor: input.id }, "Hand in the truth"),
        make("span", {}, input),
        make("p", { className: "quiet" }, "A CSV with the columns id and truth; ids came with the predictions."),
      ),
    ];
  }

  function renewal(version) {
    const { training } = model.versions.find((each) => each.version === version);
    const renew = button("Retrain with new data", "renew");
    renew.dataset.training = training;
    return [
      make("p", {}, "Hand in a table with the same columns. The best model becomes the challenger; it answers once it is promoted."),
      make("div", { className: "actions" }, renew),
    ];
  }

  async function tell(file) {
    const body = await file.text();
    let answer, found;
    try {
      answer = await fetch(to(`/api/v1/models/${encodeURIComponent(model.name)}/labels`), { method: "POST", headers: { "Content-Type": "text/csv" }, body });
      found = await answer.json();
    } catch (error) {
      throw new Error("The server does not answer. Try again in a moment.");
    }
    if (!answer.ok) throw new Error(`Not taken: ${found.detail}.`);
    await look();
    say(`The truth of ${count(found.known, "row")} is noted${found.unknown ? `; ${whole(found.unknown)} are not kept here` : ""}.`);
  }

  document.addEventListener("click", ({ target }) => {
    const { does, training } = target.dataset || {};
    if (does === "renew" && target.closest("#predict-watched")) go("data", { follows: training, target: model.target, table: "" });
  });

  document.addEventListener("change", ({ target }) => {
    if (target.id === "predict-watch-model") {
      keep({ model: target.value, version: "" });
      attempt(open);
    }
    if (target.id === "predict-watch-version") {
      keep({ version: target.value });
      attempt(look);
    }
    if (target.id === "predict-labels-file" && target.files.length) attempt(() => tell(target.files[0]));
  });

  steps.watch = { start: () => (questions += 1), open };
})();
