/* From what is selected to the expert atlas. Whether a corpus was read with the model is asked
   when something is selected, never because of a key; what stands there is filled in again after
   each drawing. */
(function () {
  "use strict";

  const { to } = window.moescope;
  const passes = new Map(); // the newest pass by model and revision, null for none
  let about = ""; // what was selected when it was asked for

  const ofModel = ({ model, revision }) => JSON.stringify([model, revision]);

  /* Shows the links to the pass, or that there is none; nothing while that is not known. */
  function fill() {
    const place = document.querySelector(".to-atlas");
    const pass = place && passes.get(ofModel(place.dataset));
    if (!place || pass === undefined) return;
    for (const link of place.children) link.href = to(`/experts?run=${pass}&${link.dataset.atlas}`);
    place.hidden = !pass;
    place.nextElementSibling.hidden = !!pass;
  }

  async function toAtlas(selection) {
    fill();
    const place = document.querySelector(".to-atlas");
    const now = place ? ofModel(place.dataset) + JSON.stringify(selection) : "";
    if (now === about) return;
    about = now;
    if (!place) return;
    const { model, revision } = place.dataset;
    const asked = new URLSearchParams({ model, revision, finished: true, limit: 1 });
    try {
      const answer = await fetch(to(`/api/v1/corpora?${asked}`));
      if (!answer.ok) return;
      const { corpora } = await answer.json();
      passes.set(ofModel({ model, revision }), corpora.length ? corpora[0].id : null);
    } catch (error) {
      return; // the next selection asks again
    }
    fill();
  }

  window.moescope.toAtlas = toAtlas;
})();
