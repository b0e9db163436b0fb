// Loaded only after consent to statistics: how long a page is read, how far, and what is used on it. No cookie, no storage.
(() => {
  const doc = document, script = doc.currentScript, to = script.dataset.consentStatistics;
  let on = true, page = location.href, since = 0, engaged = 0, depth = 0, started = new WeakSet();
  const now = () => performance.now();
  const send = (name, more) => {
    if (!on) return;
    const body = JSON.stringify({ name, url: page, width: innerWidth, ...more });
    fetch(to, { method: "POST", keepalive: true, headers: { "content-type": "application/json" }, body }).catch(() => {});
  };
  // Engaged is whoever has the page visible and in focus.
  const clock = () => {
    if (since) engaged += now() - since;
    since = doc.visibilityState === "visible" && doc.hasFocus() ? now() : 0;
  };
  const measure = () => {
    const height = Math.max(doc.documentElement.scrollHeight, 1);
    depth = Math.max(depth, Math.min(100, Math.round((scrollY + innerHeight) / height * 100)));
  };
  const flush = () => {
    clock();
    const spent = Math.round(engaged);
    if (spent >= 500) { send("engagement", { engagement_time: spent, scroll_depth: depth }); engaged = 0; }
  };
  const moved = () => setTimeout(() => {
    if (location.href.split("#")[0] === page.split("#")[0]) return;
    flush();
    const referrer = page;
    page = location.href;
    engaged = depth = 0;
    send("pageview", { referrer });
    measure();
  });
  for (const name of ["pushState", "replaceState"]) {
    const original = history[name];
    history[name] = function () { original.apply(this, arguments); moved(); };
  }
  const files = /\.(pdf|zip|docx?|xlsx?|pptx?|odt|ods|odp|csv|txt|rtf|epub|mp3|mp4|wav|mov|7z|rar|gz|dmg|exe|pkg|apk)$/i;
  const clicked = (event) => {
    const link = event.target.closest && event.target.closest("a[href]");
    if (!link || !/^https?:$/.test(link.protocol)) return;
    if (files.test(link.pathname)) send("download", { props: { file: link.host === location.host ? link.pathname : link.host + link.pathname } });
    else if (link.host !== location.host) send("outbound", { props: { to: link.host + link.pathname } });
  };
  const name = (form) => form.getAttribute("name") || form.id || form.getAttribute("action") || "form";
  const form = (event) => {
    const it = event.target.form || event.target;
    if (it.nodeName !== "FORM" || it.closest(".consent")) return;
    if (event.type === "submit") send("form-sent", { props: { form: name(it) } });
    else if (!started.has(it)) { started.add(it); send("form-started", { props: { form: name(it) } }); }
  };
  addEventListener("popstate", moved);
  addEventListener("scroll", measure, { passive: true });
  for (const type of ["focus", "blur"]) addEventListener(type, clock);
  for (const type of ["click", "auxclick"]) doc.addEventListener(type, clicked, true);
  for (const type of ["input", "submit"]) doc.addEventListener(type, form, true);
  doc.addEventListener("visibilitychange", () => { clock(); if (doc.visibilityState === "hidden") flush(); });
  addEventListener("pagehide", flush);
  window.consent.onchange((change) => { on = change.purposes[script.dataset.for]; });
  clock();
  measure();
})();
