"use strict";
// Without this script a page is whole, and as old as its last loading. With it, the page asks for
// itself: the server answers when something has changed.
(() => {
  const live = document.getElementById("live");
  const address = new URL(location.href);
  address.hash = "";
  address.searchParams.set("wait", "25s");
  let version = document.documentElement.dataset.version;
  let failures = 0;

  const spans = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const span = (date) => {
    const passed = Math.floor((Date.now() - date.getTime()) / 1000);
    for (const [name, seconds] of spans) {
      const n = Math.floor(passed / seconds);
      if (n >= 1) return n + " " + name + (n > 1 ? "s" : "");
    }
    return "a moment";
  };
  const showAges = () => {
    for (const time of document.querySelectorAll("time[data-ago], time[data-for]")) {
      const passed = span(new Date(time.dateTime));
      const text = "for" in time.dataset ? "for " + passed : passed + " ago";
      if (time.textContent !== text) time.textContent = text;
    }
  };
  const say = (text) => {
    if (live.textContent !== text) live.textContent = text;
  };

  // place is where the focus is, so that it can be found again in new content.
  const place = (element) => element && (element.id ? "#" + CSS.escape(element.id)
    : element.matches("a[href]") ? 'a[href="' + CSS.escape(element.getAttribute("href")) + '"]' : "");

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    version = fresh.documentElement.dataset.version;
    const parts = [...document.querySelectorAll("[data-live]")];
    const missing = parts.some((old) => !fresh.getElementById(old.id));
    if (missing || parts.length !== fresh.querySelectorAll("[data-live]").length) {
      location.reload(); // the page has other parts than before
      return;
    }
    for (const old of parts) {
      const now = fresh.getElementById(old.id);
      if (old.isEqualNode(now)) continue;
      const focus = old.contains(document.activeElement) ? place(document.activeElement) : "";
      old.replaceWith(document.adoptNode(now));
      if (focus) now.querySelector(focus)?.focus({ preventScroll: true });
    }
    document.title = fresh.title;
    showAges();
  };

  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const visible = () => new Promise((done) => {
    if (!document.hidden) { done(); return; }
    document.addEventListener("visibilitychange", () => done(), { once: true });
  });

  const watch = async () => {
    for (;;) {
      await visible();
      const began = Date.now();
      try {
        const answer = await fetch(address, { headers: { "If-None-Match": '"' + version + '"', "Accept": "text/html" }, cache: "no-store" });
        const kind = answer.headers.get("Content-Type") || "";
        if (answer.status === 304) {
          say("Live");
        } else if (kind.startsWith("text/html")) { // a page that says 404 or 503 is one as well
          take(await answer.text());
          say("Live");
        } else {
          throw new Error("HTTP status " + answer.status);
        }
        failures = 0;
        await sleep(Date.now() - began < 1000 ? 2000 : 500);
      } catch (error) {
        failures++;
        say("Not live: the server does not answer. Trying again");
        await sleep(Math.min(30000, 1000 * 2 ** failures));
      }
    }
  };
  showAges();
  setInterval(showAges, 10000);
  say("Live");
  watch();
})();
