// Every text that is seen with too little contrast to what is behind it (WCAG AA), as sentences.
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  // Red, green, blue and opacity, each 0 to 1, of a colour in any notation.
  const read = (text) => {
    if (!known.has(text)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = text;
      brush.fillRect(0, 0, 1, 1);
      known.set(text, Array.from(brush.getImageData(0, 0, 1, 1).data, (each) => each / 255));
    }
    return known.get(text);
  };
  const over = (top, below) => {
    const a = top[3];
    return [0, 1, 2].map((n) => top[n] * a + below[n] * (1 - a)).concat(1);
  };
  const behind = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = read(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    const ground = read(getComputedStyle(document.documentElement).colorScheme.startsWith("dark") ? "black" : "white");
    return layers.reduceRight((below, top) => over(top, below), ground);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opacity = (node) => {
    let product = 1;
    for (let at = node; at; at = at.parentElement) product *= Number(getComputedStyle(at).opacity);
    return product;
  };

  const wrong = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || node.closest("option, [disabled], [aria-disabled=true]")) continue;
    if (!node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    const style = getComputedStyle(node);
    if (box.width < 2 || box.height < 2 || style.clip === "rect(0px, 0px, 0px, 0px)" || node.closest(".aloud")) continue;
    const ink = read(node.ownerSVGElement || node.tagName === "text" ? style.fill : style.color);
    const ground = behind(node);
    const shown = over([ink[0], ink[1], ink[2], ink[3] * opacity(node)], ground);
    const [more, less] = [light(shown), light(ground)].sort((a, b) => b - a);
    const ratio = (more + 0.05) / (less + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) {
      const where = node.tagName.toLowerCase() + (node.className.baseVal ?? node.className ? "." + (node.className.baseVal ?? node.className) : "");
      wrong.set(where, where + " " + ratio.toFixed(2) + ":1 " + JSON.stringify(text.data.trim().slice(0, 40)));
    }
  }
  return Array.from(wrong.values());
}
