/* Libraries that the first diagrams don't need are fetched once these are painted. Dash waits
   for window.Plotly where it has a then; the table takes its component's place when it comes. */
(function () {
  "use strict";

  const PLOTLY = "assets/vendor/plotly-cartesian-4.1.1.min.js";
  const GRID = "_dash-component-suites/dash_ag_grid/dash_ag_grid.min.js";
  const LONGEST_MS = 3000; // for pages that are slow, or stay without diagrams

  const base = JSON.parse(document.getElementById("_dash-config").textContent).requests_pathname_prefix;

  function fetched(path) {
    return new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = base + path;
      script.onload = done;
      script.onerror = () => failed(new Error(`${path} could not be loaded`));
      document.body.append(script);
    });
  }

  /* Other pages have nothing that is painted before. */
  function drawn() {
    if (location.pathname !== base) return Promise.resolve();
    return new Promise((done) => {
      const look = () => {
        const status = document.getElementById("status");
        if (status && ["shown", "recorded", "error"].includes(status.dataset.state)) {
          watch.disconnect();
          done();
        }
      };
      const watch = new MutationObserver(look);
      watch.observe(document.documentElement, { subtree: true, attributeFilter: ["data-state"] });
      setTimeout(done, LONGEST_MS);
    });
  }

  const ready = drawn();

  let plotly = null;
  const load = () => ready.then(() => fetched(PLOTLY)).then(() => window.Plotly);
  // Fetched only where something waits for it; it takes this place itself.
  window.Plotly = {
    then(done, failed) {
      plotly = plotly || load();
      return plotly.then(done, failed);
    },
  };

  const { createElement, lazy, Suspense } = window.React;
  const Table = lazy(async () => {
    await ready;
    await fetched(GRID);
    return { default: window.dash_ag_grid.AgGrid };
  });
  const AgGrid = (props) => createElement(Suspense, { fallback: null }, createElement(Table, props));
  window.dash_ag_grid = { AgGrid };
})();
