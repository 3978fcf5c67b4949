// A picture as 256 colours and an index a pixel: its commonest colours, and for the others the nearest of these.
async (encoded) => {
  const MOST = 256;
  const blob = new Blob([Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0))], { type: "image/png" });
  const picture = await createImageBitmap(blob);
  const { width, height } = picture;
  const brush = new OffscreenCanvas(width, height).getContext("2d");
  brush.drawImage(picture, 0, 0);
  const data = brush.getImageData(0, 0, width, height).data;

  const counts = new Map();
  const at = (n) => (data[n] << 16) | (data[n + 1] << 8) | data[n + 2];
  for (let n = 0; n < data.length; n += 4) counts.set(at(n), (counts.get(at(n)) || 0) + 1);
  const parts = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];
  const apart = (one, other) => one.reduce((sum, part, n) => sum + (part - other[n]) ** 2, 0);
  const colours = Array.from(counts, ([colour, count]) => ({ colour, count, parts: parts(colour), place: 0, apart: Infinity }));
  colours.sort((a, b) => b.count - a.count || a.colour - b.colour);
  const palette = [];
  const take = (chosen) => {
    palette.push(chosen.parts);
    colours.forEach((each) => {
      const so = apart(each.parts, chosen.parts);
      if (so < each.apart) [each.place, each.apart] = [palette.length - 1, so];
    });
  };
  colours.slice(0, MOST / 2).forEach(take);
  // Then whatever would be drawn most wrongly: a small sign in a colour of its own counts as well.
  while (palette.length < Math.min(MOST, colours.length)) {
    take(colours.reduce((worst, each) => (each.count * each.apart > worst.count * worst.apart ? each : worst)));
  }
  const place = new Map(colours.map((each) => [each.colour, each.place]));
  let pixels = "";
  for (let n = 0; n < data.length; n += 4) {
    pixels += String.fromCharCode(place.get(at(n)));
  }
  return { width, height, palette: palette.flat(), pixels: btoa(pixels) };
}
