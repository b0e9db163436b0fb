// Spares the reload that the banner's forms would need, and tells the page what was chosen. Nothing here grants anything
// by itself: every choice is a button of a form, sent to the server, which records it before it answers.
(() => {
  const doc = document, root = doc.documentElement;
  let box = doc.getElementById("consent");
  if (!box) return;
  const data = box.dataset, url = data.url;
  const list = (text) => (text || "").split(" ").filter(Boolean);
  const choices = list(data.choices), guarded = list(data.guarded), google = JSON.parse(data.google || "{}");
  const find = (selector) => box.querySelector(selector);
  let allowed = new Set(list(data.allowed)), decided = data.state === "decided", opened, before;

  // --- the public promise API ---
  const listeners = new Set();
  const snapshot = () => ({ decided, purposes: Object.fromEntries([...new Set([...allowed, ...choices])].map((id) => [id, allowed.has(id)])) });
  const ready = data.state === "unknown"
    ? fetch(url + "state").then((answer) => answer.json()).then((state) => { take(state); }, () => {})
    : Promise.resolve();
  window.consent = Object.freeze({
    allows: (purpose) => ready.then(() => allowed.has(purpose)),
    state: () => ready.then(snapshot),
    onchange: (listener) => { listeners.add(listener); return () => listeners.delete(listener); },
    open: () => open(),
    withdraw: () => send({ choice: "reject", source: "api", language: box.lang }),
  });

  // --- what follows from a decision ---
  const take = (state) => {
    decided = state.decided;
    allowed = new Set(Object.keys(state.purposes).filter((id) => state.purposes[id]));
    draw();
    activate();
  };
  const draw = () => {
    const granted = choices.filter((id) => allowed.has(id));
    const banner = find(".consent-banner"), control = find(".consent-control");
    if (banner) banner.hidden = decided;
    if (!control) return;
    control.hidden = Boolean(banner && !banner.hidden);
    control.querySelector(".consent-count").textContent = data.count.replace("{n}", granted.length).replace("{total}", choices.length);
    control.querySelector(".consent-withdraw").hidden = !granted.length;
  };
  // A copy of a script from a template runs when it is put into the page; the template's own never did.
  const activate = (within = doc) => {
    for (const template of within.querySelectorAll("template[data-purpose]")) {
      if (!allowed.has(template.dataset.purpose)) continue;
      for (const beside of [template.previousElementSibling, template.nextElementSibling]) if (beside && beside.matches(".consent-placeholder")) beside.remove();
      template.replaceWith(doc.importNode(template.content, true));
    }
  };
  const clear = (keys) => {
    for (const key of keys) {
      const [kind, name] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
      try {
        const store = kind === "local" ? localStorage : sessionStorage;
        const parts = name.split("*");
        for (const stored of Object.keys(store)) {
          let at = parts.length > 1 ? 0 : stored === name ? 0 : -1;
          if (parts.length > 1) {
            if (!stored.startsWith(parts[0]) || !stored.endsWith(parts[parts.length - 1]) || stored.length < name.length - parts.length + 1) at = -1;
            for (const part of parts) if (at >= 0) { const next = stored.indexOf(part, at); at = next < 0 ? -1 : next + part.length; }
          }
          if (at >= 0) store.removeItem(stored);
        }
      } catch { /* storage is switched off: nothing to clear */ }
    }
  };
  function gtag() { (window.dataLayer = window.dataLayer || []).push(arguments); }
  const signal = () => {
    const update = {};
    for (const id in google) for (const name of google[id]) update[name] = allowed.has(id) && update[name] !== "denied" ? "granted" : "denied";
    if (Object.keys(update).length) gtag("consent", "update", update);
  };
  const tell = (withdrawn) => {
    const detail = { ...snapshot(), withdrawn };
    doc.dispatchEvent(new CustomEvent("consent", { detail }));
    for (const listener of listeners) try { listener(detail); } catch (error) { setTimeout(() => { throw error; }); }
  };

  // --- sending a choice ---
  const status = (text, link) => {
    const line = find(".consent-status");
    line.textContent = text;
    if (link) {
      const a = doc.createElement("a");
      a.href = link; a.textContent = data.receipt; a.download = "";
      line.append(" ", a);
    }
    clearTimeout(status.timer);
    status.timer = setTimeout(() => { line.textContent = ""; }, link ? 60000 : 6000);
  };
  const send = async (choice) => {
    let answer;
    try {
      answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(choice) });
    } catch { status(data.failed); return; }
    const result = await answer.json().catch(() => ({}));
    if (!answer.ok) { status(result.error || data.failed); return; }
    const kept = await fetch(url + "state").then((reply) => reply.json()).catch(() => result);
    const previous = allowed;
    if (!kept.decided) {
      // The browser keeps no cookies: a refusal, explained once, and no second question on this page.
      decided = true;
      allowed = new Set([...allowed].filter((id) => !choices.includes(id)));
      close(); draw(); status(data.lost);
      return;
    }
    close();
    clear(result.clear || []);
    const withdrawn = [...previous].filter((id) => !result.purposes[id]);
    let blocked = false;
    doc.addEventListener("securitypolicyviolation", (event) => {
      if (event.disposition === "enforce" && !blocked) { blocked = true; again(result); }
    });
    take(result);
    signal();
    tell(withdrawn);
    settle();
    status(result.message, result.receipt);
    // A third party's script that runs can't be stopped: the page starts afresh without it.
    if (withdrawn.some((id) => guarded.includes(id))) again(result);
  };
  // Reload, and come back to the same place: the browser restores the scroll position, the history entry the rest.
  const place = (element) => {
    const path = [];
    for (let node = element; node && node !== root && node !== doc.body; node = node.parentElement) path.unshift([...node.parentElement.children].indexOf(node));
    return path;
  };
  const again = ({ message, receipt }, once) => {
    const focus = before && before.isConnected && !box.contains(before) ? place(before) : [];
    history.replaceState({ ...history.state, consent: { y: scrollY, x: scrollX, focus, message, receipt, here: once && location.href } }, "", once);
    location.reload();
  };
  const comeBack = () => {
    const state = history.state && history.state.consent;
    if (!state) return;
    const { consent: _, ...rest } = history.state;
    history.replaceState(Object.keys(rest).length ? rest : null, "", state.here);
    let target = doc.body;
    for (const index of state.focus) target = target && target.children[index];
    if (target && target !== doc.body) target.focus({ preventScroll: true });
    scrollTo(state.x, state.y);
    if (!state.here) status(state.message, state.receipt);
  };
  // Focus goes to where the visitor was before the banner, or to the control that took the banner's place.
  const settle = () => {
    if (doc.activeElement && doc.activeElement !== doc.body && doc.activeElement.offsetParent !== null) return;
    const target = before && before.isConnected ? before : find(".consent-control:not([hidden]) button");
    if (target) target.focus({ preventScroll: true });
  };

  // --- the preferences, in a dialog; the same page that the form leads to without a script ---
  const open = () => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", url + "?lang=" + encodeURIComponent(box.lang) + "&return=" + encodeURIComponent(location.pathname + location.search));
    request.responseType = "document"; // parsed by the browser into an inert document: no HTML sink, no script runs
    request.onload = () => {
      const main = request.response && request.response.getElementById("consent-main");
      if (!main) { location.href = url; return; }
      const dialog = doc.createElement("dialog");
      dialog.className = "consent-dialog";
      const title = main.querySelector(".consent-title");
      title.id = "consent-dialog-title";
      dialog.setAttribute("aria-labelledby", title.id);
      const cross = doc.createElement("button");
      cross.type = "button";
      cross.className = "consent-close";
      cross.ariaLabel = find(".consent-close")?.ariaLabel || data.close;
      cross.onclick = () => dialog.close();
      dialog.append(cross, ...[...main.childNodes].map((node) => doc.importNode(node, true)));
      dialog.onclose = () => { dialog.remove(); opened = null; };
      close();
      opened = dialog;
      box.append(dialog);
      dialog.showModal();
      dialog.scrollTop = 0;
      resolve();
    };
    request.onerror = () => { location.href = url; };
    request.send();
  });
  const close = () => { if (opened) opened.close(); };

  doc.addEventListener("focusin", (event) => { if (!event.target.closest(".consent")) before = event.target; });
  doc.addEventListener("click", (event) => {
    const link = event.target.closest("[data-consent-once]");
    // Browsers without this class say in a reload where the first visit came from, and not that the click was ours.
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !window.CompressionStream) return;
    event.preventDefault();
    before = link.closest(".consent-placeholder");
    again({}, link.href);
  });
  doc.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (!form.closest(".consent") || form.closest(".consent-page") || !button || form.getAttribute("action") !== url) return;
    event.preventDefault();
    if (button.value === "choose") { open(); return; }
    const fields = new FormData(form);
    const choice = Object.fromEntries(["language", "source", "fingerprint"].map((name) => [name, fields.get(name) || ""]));
    choice.choice = button.value;
    choice.purpose = fields.getAll("purpose");
    if (form.closest(".consent-placeholder")) before = form.closest(".consent-placeholder").parentElement;
    form.ariaBusy = "true";
    send(choice).finally(() => { form.ariaBusy = null; });
  });
  const later = () => { const banner = find(".consent-banner"); if (banner) { banner.hidden = true; const control = find(".consent-control"); if (control) control.hidden = false; settle(); } };
  doc.addEventListener("keydown", (event) => { if (event.key === "Escape" && !opened && find(".consent-banner:not([hidden])")) later(); });
  const cross = find(".consent-banner .consent-close");
  if (cross) { cross.hidden = false; cross.onclick = later; }

  // Pages that change without loading: what comes later is treated like what was there first.
  new MutationObserver((changes) => {
    if (!box.isConnected) { const fresh = doc.getElementById("consent"); if (fresh) box = fresh; else doc.body.append(box); draw(); }
    for (const change of changes) for (const node of change.addedNodes) if (node.nodeType === 1) activate(node.parentElement || doc);
  }).observe(root, { childList: true, subtree: true });

  if (decided) clear(list(data.clear));
  activate();
  comeBack();
})();
