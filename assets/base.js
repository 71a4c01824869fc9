/* What the other scripts share: addresses below the base path, and setting what Dash shows. */
(function () {
  "use strict";

  // Behind a base path every address of ours begins with it.
  const config = JSON.parse(document.getElementById("_dash-config").textContent);
  const to = (path) => config.requests_pathname_prefix.replace(/\/$/, "") + path;
  // Somebody came by the port itself, not through the proxy that the links are made for.
  if (!location.pathname.startsWith(to("/"))) location.replace(to(location.pathname) + location.search + location.hash);

  // A timer may outlive the page it was set on, with its components.
  const there = (id) => {
    try {
      return window.dash_component_api.getLayout(id) !== undefined;
    } catch (error) {
      return false; // what it does for an id that is nowhere
    }
  };
  const set = (id, props) => there(id) && window.dash_clientside.set_props(id, props);
  const skip = () => window.dash_clientside.no_update;

  window.moescope = { to, there, set, skip };
})();
