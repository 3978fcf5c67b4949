// A picture as 256 colours and an index a pixel: its commonest colours, and for the others the nearest of these.
async (encoded) => {
  const blob = new Blob([Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0))], { type: "image/png" });
  const picture = await createImageBitmap(blob);
  const { width, height } = picture;
  const brush = new OffscreenCanvas(width, height).getContext("2d");
  brush.drawImage(picture, 0, 0);
  const data = brush.getImageData(0, 0, width, height).data;

  const counts = new Map();
  const at = (n) => (data[n] << 16) | (data[n + 1] << 8) | data[n + 2];
  for (let n = 0; n < data.length; n += 4) counts.set(at(n), (counts.get(at(n)) || 0) + 1);
  const palette = Array.from(counts).sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 256).map((each) => each[0]);

  const parts = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];
  const known = new Map(palette.map((colour, place) => [colour, place]));
  const nearest = (colour) => {
    const [r, g, b] = parts(colour);
    let best = 0, least = Infinity;
    palette.forEach((each, place) => {
      const [x, y, z] = parts(each);
      const apart = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (apart < least) [best, least] = [place, apart];
    });
    return best;
  };
  let pixels = "";
  for (let n = 0; n < data.length; n += 4) {
    const colour = at(n);
    if (!known.has(colour)) known.set(colour, nearest(colour));
    pixels += String.fromCharCode(known.get(colour));
  }
  return { width, height, palette: palette.flatMap(parts), pixels: btoa(pixels) };
}
