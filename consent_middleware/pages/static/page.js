// My data: looks again by itself while the answer is being prepared. Without this script there is a link for it.
const waiting = document.querySelector("[data-consent-waiting]");
let writing = false; // a page that came again would throw away what somebody typed, or a form on its way
for (const kind of ["input", "submit"]) addEventListener(kind, () => { writing = true; });
const look = async (tries) => {
  const answer = await fetch(waiting.dataset.consentWaiting, { headers: { accept: "application/json" } }).catch(() => null);
  if (writing || document.activeElement.closest("form")) return;
  if (answer && answer.status === 200) location.reload();
  else if (tries > 0) setTimeout(look, 2000, tries - 1);
};
if (waiting) setTimeout(look, 1000, 60);
