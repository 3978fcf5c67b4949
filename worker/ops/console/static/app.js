// What the pages cannot do without a script. Everything here is a convenience: reading and acting work without it.
(function () {
  "use strict";

  // "/" leads to the search from anywhere but a field; Escape leads out of it.
  document.addEventListener("keydown", function (event) {
    var search = document.getElementById("search");
    if (!search) return;
    var at = document.activeElement;
    var writes = at && (at.isContentEditable || /^(input|textarea|select)$/i.test(at.tagName));
    if (event.key === "/" && !writes && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape" && at === search) {
      search.blur();
    }
  });

  // The rest of the navigation is shut again by Escape, or by a press beside it; an open question by Escape within it.
  function shut(event) {
    var isKey = event.type === "keydown";
    var open = (isKey && event.target.closest && event.target.closest(".confirm[open]")) || document.querySelector(".nav-more[open]");
    if (!open || (isKey ? event.key !== "Escape" : open.contains(event.target))) return;
    open.open = false;
    if (isKey) open.querySelector("summary").focus();
  }
  document.addEventListener("keydown", shut);
  document.addEventListener("click", shut);

  // A bar runs above while the next page is on its way; a file that is downloaded leads to none.
  var isDownload = false;
  function run(isOn) {
    var bar = document.getElementById("loading");
    if (bar) bar.classList.toggle("htmx-request", isOn);
  }
  document.addEventListener("submit", function (event) { isDownload = event.target.hasAttribute("data-download"); });
  window.addEventListener("beforeunload", function () {
    run(!isDownload);
    isDownload = false;
  });
  window.addEventListener("pageshow", function () { run(false); });

  // What a page asks for by itself is no sign that somebody sits there: it keeps no session alive.
  document.addEventListener("htmx:configRequest", function (event) {
    if (event.target.hasAttribute("data-polls")) event.detail.headers["X-Poll"] = "1";
  });

  // A hidden tab asks for nothing; it catches up when it is seen again.
  document.addEventListener("htmx:beforeRequest", function (event) {
    if (document.hidden && event.target.hasAttribute("data-polls")) event.preventDefault();
  });
  document.addEventListener("visibilitychange", function () {
    if (!document.hidden && window.htmx) window.htmx.trigger(document.body, "seen-again");
  });

  // A part that polls says when it could not be had, and from when what it shows is.
  function stale(event, isStale) {
    if (event.target && event.target.hasAttribute && event.target.hasAttribute("data-polls")) {
      event.target.classList.toggle("is-stale", isStale);
      document.body.classList.toggle("is-stale", isStale);
    }
  }
  document.addEventListener("htmx:sendError", function (event) { stale(event, true); });
  document.addEventListener("htmx:responseError", function (event) {
    // 401: the session has ended, and only the sign-in page helps.
    if (event.detail.xhr && event.detail.xhr.status === 401) window.location.reload();
    stale(event, true);
  });
  document.addEventListener("htmx:afterOnLoad", function (event) {
    if (event.detail.successful !== false) stale(event, false);
  });

  // What the reader has opened stays open when its part is renewed, and what has the focus keeps it: by its id htmx sees to
  // that; what has none is known by where it leads, in what it stands, and which of those alike it is.
  var opened = [], focused = null;
  function mark(node) { return [node.localName, node.getAttribute("href"), node.closest("[id]").id].join(" "); }
  function alike(part, its) {
    return Array.from(part.querySelectorAll("a, button, summary, input, select, [tabindex]")).filter(function (each) { return mark(each) === its; });
  }
  document.addEventListener("htmx:beforeSwap", function (event) {
    var at = document.activeElement;
    var isIn = at && at !== event.target && event.target.contains(at) && !at.id;
    focused = isIn ? { mark: mark(at), nth: alike(event.target, mark(at)).indexOf(at) } : null;
    opened = Array.from(event.target.querySelectorAll("details[open][id]"), function (each) { return each.id; });
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    opened.forEach(function (id) {
      var each = document.getElementById(id);
      if (each) each.open = true;
    });
    opened = [];
    var again = focused && document.activeElement === document.body && alike(event.target, focused.mark)[focused.nth];
    if (again) again.focus({ preventScroll: true });
    focused = null;
  });

  // Instants in the reader's own time zone; the server writes UTC.
  function two(number) { return String(number).padStart(2, "0"); }
  function localise(root) {
    root.querySelectorAll("time[datetime]").forEach(function (time) {
      var at = new Date(time.getAttribute("datetime"));
      if (isNaN(at)) return;
      var text = at.getFullYear() + "-" + two(at.getMonth() + 1) + "-" + two(at.getDate()) + " " +
        two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds());
      var whole = time.querySelector("[data-local]");
      if (whole) {
        whole.title = whole.title || whole.textContent;
        whole.textContent = text;
      } else if (time.hasAttribute("title")) {
        time.title = text + " · " + at.toISOString().slice(0, 19) + "Z";
      }
    });
    // A chart names its columns by the clock alone.
    root.querySelectorAll("[data-clock]").forEach(function (place) {
      var at = new Date(place.getAttribute("data-clock"));
      if (isNaN(at)) return;
      place.textContent = place.textContent.replace(/^\d\d:\d\d/, two(at.getHours()) + ":" + two(at.getMinutes()));
    });
  }
  document.addEventListener("htmx:load", function (event) { localise(event.target); });

  // Ticking the box in a list's head ticks all rows; the bar says how many are.
  function told(form) {
    var boxes = form.querySelectorAll("input[type=checkbox][name=job_id]");
    var ticked = form.querySelectorAll("input[type=checkbox][name=job_id]:checked").length;
    form.querySelectorAll("[data-ticked]").forEach(function (place) { place.textContent = String(ticked); });
    form.querySelectorAll("[data-tick-all]").forEach(function (all) {
      all.checked = ticked > 0 && ticked === boxes.length;
      all.indeterminate = ticked > 0 && ticked < boxes.length;
    });
    form.classList.toggle("has-ticked", ticked > 0);
  }
  document.addEventListener("change", function (event) {
    var form = event.target.closest && event.target.closest("form[data-select]");
    if (!form) return;
    if (event.target.hasAttribute("data-tick-all")) {
      form.querySelectorAll("input[type=checkbox][name=job_id]").forEach(function (box) {
        box.checked = event.target.checked;
      });
    }
    told(form);
  });

  document.addEventListener("DOMContentLoaded", function () {
    document.documentElement.classList.add("has-script");
    localise(document);
    document.querySelectorAll("form[data-select]").forEach(told);
    // Where a row of links is longer than the screen, the current one is in sight.
    document.querySelectorAll(".sidebar [aria-current=page], .tabs [aria-current]").forEach(function (current) {
      var row = current.closest(".sidebar, .tabs");
      if (row.scrollWidth > row.clientWidth) current.scrollIntoView({ block: "nearest", inline: "center" });
    });
  });
})();
