/* Libraries that the first diagrams don't need are fetched once these are painted. Dash waits
   for window.Plotly where it is a promise. */
(function () {
  "use strict";

  const PLOTLY = "assets/vendor/plotly-cartesian-4.1.1.min.js";
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

  window.Plotly = drawn()
    .then(() => fetched(PLOTLY))
    .then(() => window.Plotly);
})();
