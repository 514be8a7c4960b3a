// The theme loads Mermaid from a CDN unless a global `mermaid` exists. This one loads the site's own copy, and only on
// pages that have a diagram.
(() => {
  const source = new URL("mermaid.tiny.js", document.currentScript.src);
  let loaded;
  const load = (options) =>
    (loaded ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = source;
      script.onerror = reject;
      script.onload = () => {
        window.mermaid.initialize(options);
        resolve(window.mermaid);
      };
      document.head.append(script);
    }));
  let options;
  window.mermaid = {
    initialize(given) {
      options = given;
    },
    async render(...given) {
      return (await load(options)).render(...given);
    },
  };
})();
