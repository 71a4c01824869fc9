/* The expert atlas: the address follows what is looked at, cards open, matches can be chosen. */
(function () {
  "use strict";

  const { set, skip } = window.moescope;
  const asked = () => new URLSearchParams(location.search);

  /* Sets names of the address, and takes those away that have no value. */
  function keep(values) {
    const found = asked();
    for (const [name, value] of Object.entries(values)) {
      if (value) found.set(name, value);
      else found.delete(name);
    }
    history.replaceState(history.state, "", `${location.pathname}?${found}`);
  }

  let looked = null; // what the cards are asked for

  function ask(layer, label, sort, theme, page) {
    if (!page || !theme) return skip();
    const before = asked().get("layer");
    // The same number is another expert in another layer.
    if (before && before !== layer) keep({ expert: "" });
    keep({ run: page.run, with: page.with, layer, label, sort: sort === "number" ? "" : sort });
    return (looked = { ...page, layer, label, sort, theme });
  }

  function search(token, theme, page) {
    if (!page || !theme) return skip();
    const { layer, label } = Object.fromEntries(asked());
    keep({ token: (token || "").trim() });
    return { ...page, layer, label, token, theme };
  }

  let opened = ""; // the expert that the page was moved to

  function write(said) {
    window.dash_clientside.moescope.words(said);
    const expert = asked().get("expert");
    if (!expert) return;
    const fresh = opened !== location.pathname + expert;
    if (open(expert, fresh)) opened = location.pathname + expert;
  }

  /* Unfolds the card of an expert; gives whether there is one. */
  function open(expert, move) {
    const card = document.getElementById(`expert-${expert}`);
    if (!card) return false;
    card.querySelector("details").open = true;
    if (move) card.scrollIntoView();
    return true;
  }

  function point(clicked) {
    if (clicked) open(String(clicked.points[0].x), true);
  }

  // A toggle does not bubble.
  document.addEventListener(
    "toggle",
    ({ target }) => {
      if (!target.matches || !target.matches(".expert-card > details")) return;
      const { expert } = target.parentElement.dataset;
      if (target.open) {
        keep({ expert });
        set("experts-open", { data: { ...looked, expert: Number(expert) } });
      } else if (asked().get("expert") === expert) keep({ expert: "" });
    },
    true,
  );

  document.addEventListener("click", ({ target }) => {
    const match = target.closest && target.closest("[data-piece]");
    if (match) set("experts-piece", { value: `«${match.dataset.piece}»` });
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    experts: { ask, search, write, point },
  });
})();
