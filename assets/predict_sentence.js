/* A sentence through a model whose router was explained: which expert each token goes to, and
   which one its surface tells. */
(function () {
  "use strict";

  const { make, ask } = window.moescope;
  const { attempt, byId, say, scroller, share, steps, table } = window.moescope.predict;

  let training = ""; // the one that explains, "" for a model of another kind

  /* Offers the sentence where a version of a model explains a router. */
  async function router(version) {
    training = version ? version.training : "";
    byId("sentence-form").hidden = true;
    byId("guessed").replaceChildren();
    if (!training) return;
    const mine = training;
    // A training that was removed can't be asked; its version answers rows all the same.
    const found = await ask(`trainings/${training}`).catch(() => null);
    if (mine === training && byId("sentence-form")) byId("sentence-form").hidden = !(found && found.router);
  }

  async function guess() {
    const text = byId("sentence").value;
    say("Routing");
    const found = await ask(`trainings/${training}/sentence`, { method: "POST", body: { text }, failing: "Not routed" });
    if (!byId("guessed")) return;
    say("");
    const rows = found.tokens.map((token, i) => [make("code", {}, token), ...found.layers.map((layer) => cell(layer, i))]);
    const right = found.layers.map(({ true: truth, predicted }) => truth.filter((each, i) => each === predicted[i]).length);
    byId("guessed").replaceChildren(
      scroller("True and predicted experts", table(["Token", ...found.layers.map(({ layer }) => `layer ${layer + 1}`)], [...rows, ["right", ...right.map((n) => `${n} of ${found.tokens.length}`)]])),
      make("p", { className: "caption" }, "The expert that took each token, and in brackets the probability that its surface gave it; ≠ and the predicted one where that is another: context at work, or chance. A sentence has no labels, which the models may rest on."),
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
