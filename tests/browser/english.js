// The English words that are seen on a page that should have none, but for names and what stands in its own direction.
(names) => {
  const found = new Set();
  const foreign = "bdi, code, pre, kbd, datalist, iframe, [dir=ltr], [dir=auto], [lang=en], .mono, .brand";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const look = (text) => {
    // What a sentence takes in from outside is isolated: U+2066 to U+2069.
    let own = text;
    for (let had = ""; had !== own; ) [had, own] = [own, own.replace(/[\u2066-\u2068][^\u2066-\u2069]*\u2069/g, " ")];
    // Ids, codes and settings are the same everywhere.
    own = own.replace(/\ba\d{6}-\w+|\b01[a-z0-9]{16,}|\b[a-z]+(_[a-z0-9]+)+\b|\b[A-Z]+(_[A-Z]+)+\b/g, " ");
    (own.match(/[A-Za-z][A-Za-z'-]{2,}/g) || []).filter((word) => !names.includes(word)).forEach((word) => found.add(word));
  };
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    if (!text.parentElement.closest(foreign + ", script, style")) look(text.data);
  }
  document.querySelectorAll("[title], [aria-label], [placeholder]").forEach((node) => {
    if (!node.closest(foreign)) ["title", "aria-label"].forEach((name) => look(node.getAttribute(name) || ""));
  });
  look(document.title);
  return Array.from(found).sort();
}
