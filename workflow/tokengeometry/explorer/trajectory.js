// Chosen tokens over the layers, with their intervals, over the band of their cluster, beside CLS and pooled.
const bands = new Map()

function clusterBand(key, cluster) {
  const place = `${key} ${cluster}`
  if (!bands.has(place)) {
    const members = []
    for (let row = prefix; row < tokens; row++) if (clusterOf(row) === cluster) members.push(row)
    bands.set(place, layers.map((_, layer) => spreadOf(valuesOf(key, layer), members)))
  }
  return bands.get(place)
}

function curve(key, row) {
  return layers.map((_, layer) => valuesOf(key, layer)[row])
}

let trajectoryDrawn = ""

function drawTrajectories() {
  const key = view.show, quantity = quantities.get(key)
  const chosen = view.tokens.slice(-SINGLE)
  const many = view.tokens.length > SINGLE
  const clusters = view.tokens.length
    ? [...new Set(view.tokens.map(clusterOf).filter(Number.isFinite))]
    : Array.from({length: about.clusters}, (_, index) => index + 1)
  const xs = [], low = [], high = [], fill = []
  for (const cluster of key === "cluster" ? [] : clusters) {
    const band = clusterBand(key, cluster)
    // There and back: an area.
    xs.push([...layers, ...layers.slice().reverse()])
    low.push([...band.map((its) => its[1]), ...band.map((its) => its[2]).reverse()])
    fill.push(clusterColour(cluster))
    high.push(`cluster ${cluster}, 10–90 % of its tokens`)
  }
  models.bands.data = {xs, ys: low, colour: fill, words: high}
  const lines = {xs: [], ys: [], colour: [], dash: [], width: [], words: []}
  const add = (ys, colour, dash, width, words) => {
    lines.xs.push(layers)
    lines.ys.push(ys)
    lines.colour.push(colour)
    lines.dash.push(dash)
    lines.width.push(width)
    lines.words.push(words)
  }
  const cls = numberOf.get("cls"), pooled = numberOf.get("pooled")
  const has = (row) => row !== undefined && !view.tokens.includes(row) && curve(key, row).some(Number.isFinite)
  if (has(cls)) add(curve(key, cls), about.colours.cls, [], 1.6, "CLS")
  if (has(pooled)) add(curve(key, pooled), about.colours.pooled, [6, 3], 1.6, "all tokens pooled")
  const points = {x: [], y: [], low: [], high: [], colour: [], words: []}
  if (many) {
    const mean = layers.map((_, layer) => spreadOf(valuesOf(key, layer), view.tokens)[0])
    add(mean, about.colours.chosen[0], [], 3, `mean of ${view.tokens.length} chosen tokens`)
  } else {
    chosen.forEach((row, index) => {
      const colour = about.colours.chosen[index]
      add(curve(key, row), colour, [], 2.6, tokenName(row))
      layers.forEach((layer, at) => {
        const value = valuesOf(key, at)[row]
        points.x.push(layer)
        points.y.push(value)
        points.low.push(quantity.interval ? valuesOf(key, at, "low")[row] : value)
        points.high.push(quantity.interval ? valuesOf(key, at, "high")[row] : value)
        points.colour.push(colour)
        points.words.push(tokenName(row))
      })
    })
  }
  models.curves.data = lines
  models.points.data = points
  models.trajectory.title.text = `${quantity.label}, by layer` + (quantity.interval && !many ? " (95 % intervals)" : "")
}

panels.push(() => {
  const place = `${view.show} ${view.tokens}`
  if (place !== trajectoryDrawn) {
    trajectoryDrawn = place
    drawTrajectories()
  }
  models.here.location = layers[view.layer]
})
