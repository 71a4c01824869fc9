/* The expert atlas: the address follows what is looked at, cards open, matches can be chosen. */
(function () {
  "use strict";

  const SETTLE_MS = 5000; // so long the page may take to be drawn

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

  /* The page opens at what its address names: an expert's card, else the token searched for. */
  function write(said) {
    window.dash_clientside.moescope.words(said);
    const { expert, token } = Object.fromEntries(asked());
    const { dataset } = document.getElementById("experts-cards");
    if (expert) open(expert, !dataset.arrived);
    else if (token && !dataset.arrived) move(document.getElementById("token-title"));
    dataset.arrived = true;
  }

  /* Unfolds the card of an expert, if there is one. */
  function open(expert, go) {
    const card = document.getElementById(`expert-${expert}`);
    if (!card) return;
    const more = card.querySelector("details"); // an expert without tokens has none
    if (more) more.open = true;
    if (go) move(card);
  }

  /* Brings a place into view, and the focus, so that the keyboard goes on from there. What
     stands above may still be drawn: it stays in view until that is over, or somebody moves. */
  function move(place) {
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
    const watch = new ResizeObserver(() => place.scrollIntoView({ behavior: "instant" }));
    const rest = () => watch.disconnect();
    watch.observe(document.body);
    ["wheel", "pointerdown", "keydown"].forEach((kind) => addEventListener(kind, rest, { once: true }));
    setTimeout(rest, SETTLE_MS);
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
    const { go } = target.dataset || {};
    if (go) move(document.getElementById(go));
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    experts: { ask, search, write, point },
  });
})();
