// What is wrong with the page that is open, as sentences: for readers who see little, hear the page or use no mouse.
() => {
  const wrong = [];
  const say = (what, node) => wrong.push(what + ": " + node.outerHTML.replace(/\s+/g, " ").slice(0, 160));
  const all = (selector) => Array.from(document.querySelectorAll(selector));

  if (!document.documentElement.lang) wrong.push("the page does not say its language");
  if (!document.title.trim()) wrong.push("the page has no title");
  const heads = all("h1").length;
  if (heads !== 1) wrong.push("the page has " + heads + " h1");
  if (all("main").length !== 1) wrong.push("the page has not one main");

  const ids = new Map();
  all("[id]").forEach((node) => ids.set(node.id, (ids.get(node.id) || 0) + 1));
  ids.forEach((count, id) => count > 1 && wrong.push("the id " + id + " stands " + count + " times"));
  ["for", "aria-labelledby", "aria-describedby", "aria-controls", "list"].forEach((name) => {
    all("[" + name + "]").forEach((node) => {
      node.getAttribute(name).split(/\s+/).filter(Boolean).forEach((id) => {
        if (!document.getElementById(id)) say(name + " names nothing", node);
      });
    });
  });

  const landmarks = new Map();
  all("nav, aside, [role=region], [role=search], section[aria-label], section[aria-labelledby]").forEach((node) => {
    const by = (node.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean).map((id) => document.getElementById(id));
    const name = node.tagName + (node.getAttribute("aria-label") || by.map((each) => each && each.textContent).join(" "));
    landmarks.set(name, (landmarks.get(name) || 0) + 1);
  });
  landmarks.forEach((count, name) => count > 1 && wrong.push(count + " landmarks are called " + name));

  const named = (node) => node.getAttribute("aria-label") || node.getAttribute("aria-labelledby");
  all("input:not([type=hidden], [hidden]), select, textarea").forEach((node) => {
    if (!named(node) && !Array.from(node.labels || []).some((label) => label.textContent.trim())) say("no label", node);
  });
  all("a[href], button, summary").forEach((node) => {
    if (!named(node) && !node.textContent.trim() && !node.title) say("no name", node);
  });
  all("img:not([alt])").forEach((node) => say("no alt", node));
  all("svg").forEach((node) => {
    const isHidden = node.closest("[aria-hidden=true]");
    if (!isHidden && !named(node) && !node.querySelector("title")) say("a drawing without words", node);
  });
  all("th:not([scope])").forEach((node) => say("a heading cell without scope", node));

  // The Content-Security-Policy would stop these; they should not even be there.
  all("script:not([src]), style, [style]").forEach((node) => say("inline", node));
  all("*").forEach((node) => {
    for (const each of node.attributes) if (/^on/i.test(each.name)) say("inline", node);
  });
  return wrong;
}
