/* A sentence through a model whose router was explained: which expert each token goes to, and
   which one its surface tells. */
(function () {
  "use strict";

  const { make, ask } = window.moescope;
  const { attempt, byId, offer, say, scroller, share, steps, table } = window.moescope.predict;

  const LABEL = "label_"; // so begin the features that are labels

  let training = ""; // the one that explains, "" for a model of another kind

  /* Offers the sentence where a version of a model explains a router; `fields` are its schema's. */
  async function router(version, fields = []) {
    training = version ? version.training : "";
    byId("sentence-form").hidden = true;
    byId("guessed").replaceChildren();
    if (!training) return;
    const mine = training;
    // A training that was removed can't be asked; its version answers rows all the same.
    const found = await ask(`trainings/${training}`).catch(() => null);
    if (mine !== training || !byId("sentence-form") || !found || !found.router) return;
    byId("labels").replaceChildren(...fields.filter(({ name }) => name.startsWith(LABEL)).map(labelOf));
    byId("sentence-form").hidden = false;
  }

  /* A choice of the text's label in one column. */
  function labelOf({ name, typical, levels }) {
    const list = make("select", { id: `predict-${name}`, className: "form-select form-select-sm" });
    list.dataset.label = name.slice(LABEL.length);
    offer(list, [["", "(unknown)"], ...levels.map((each) => [each, each])], typical || "");
    return make("div", {}, make("label", { htmlFor: list.id, className: "quiet" }, list.dataset.label), list);
  }

  async function guess() {
    const labels = {};
    byId("labels").querySelectorAll("select").forEach(({ dataset, value }) => value && (labels[dataset.label] = value));
    const text = byId("sentence").value;
    say("Routing");
    const found = await ask(`trainings/${training}/sentence`, { method: "POST", body: { text, labels }, failing: "Not routed" });
    if (!byId("guessed")) return;
    say("");
    const rows = found.tokens.map((token, i) => [make("code", {}, token), ...found.layers.map((layer) => cell(layer, i))]);
    const right = found.layers.map(({ true: truth, predicted }) => truth.filter((each, i) => each === predicted[i]).length);
    byId("guessed").replaceChildren(
      scroller("True and predicted experts", table(["Token", ...found.layers.map(({ layer }) => `layer ${layer + 1}`)], [...rows, ["right", ...right.map((n) => `${n} of ${found.tokens.length}`)]])),
      make("p", { className: "caption" }, "The expert that took each token, and in brackets the probability that its surface gave it; ≠ and the predicted one where that is another: context at work, or a model that knows too little."),
    );
  }

  function cell({ true: truth, predicted, probability }, i) {
    const words = `${truth[i]} (${share(probability[i])})`;
    return truth[i] === predicted[i] ? words : make("span", { className: "other" }, `${words} ≠ ${predicted[i]}`);
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "predict-sentence-form") return;
    event.preventDefault();
    attempt(guess);
  });

  Object.assign(steps, { sentence: { start: () => (training = "") } });
  Object.assign(window.moescope.predict, { router });
})();
