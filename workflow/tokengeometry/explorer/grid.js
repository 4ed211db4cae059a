// The tokens at their places, in the colours of the quantity that is shown.
const ownScale = new Map()

// The values that colours span: of the spatial tokens, over all layers from 1 on, or of one layer. Layer 0 has its own.
function colourRange(key, layer) {
  const alone = view.scale === "layer" || layers[layer] === 0
  const place = `${key} ${alone ? layer : "all"}`
  if (!ownScale.has(place)) {
    let low = Infinity, high = -Infinity
    for (let at = 0; at < layers.length; at++) {
      if (alone ? at !== layer : layers[at] === 0) continue
      for (const value of valuesOf(key, at).subarray(prefix, tokens)) {
        if (value < low) low = value
        if (value > high) high = value
      }
    }
    ownScale.set(place, low < high ? [low, high] : Number.isFinite(low) ? [low - 0.5, low + 0.5] : [0, 1])
  }
  return ownScale.get(place)
}

function colourBy(mapper, key, layer) {
  if (key === "cluster") {
    mapper.setv({palette: about.colours.clusters, low: 0.5, high: about.clusters + 0.5})
    return
  }
  const [low, high] = colourRange(key, layer)
  const palette = layers[layer] === 0 && layers.length > 1 ? about.colours.pixels : about.colours.values
  mapper.setv({palette, low, high})
}

function outline(source, of) {
  const {x, y, w, h} = models.tokens.data
  const pick = (values) => Array.from(of, (row) => values[row])
  fillIn(source, {x: pick(x), y: pick(y), w: pick(w), h: pick(h)})
}

panels.push(() => {
  const values = valuesOf(view.show, view.layer)
  const quantity = quantities.get(view.show)
  colourBy(models.mapper, view.show, view.layer)
  colourTokens("", models.tokens.data, about.grid, prefix, values)
  const selected = view.tokens.slice().sort((a, b) => a - b)
  if (String(models.tokens.selected.indices) !== String(selected)) models.tokens.selected.indices = selected
  outline(models.chosen, view.tokens)
  models.tiles_drawn.glyph.global_alpha = {value: view.behind === "none" ? 1 : 0.4}
  models.mean_image.visible = view.behind === "mean"
  models.spread_image.visible = view.behind === "spread"
  models.grid.title.text = `${quantity.label}, ${layerName()}`
})

whenChanged(models.tokens.selected, "indices", (indices) => {
  const chosen = new Set(indices)
  const before = view.tokens.filter((row) => chosen.has(row))
  const added = indices.filter((row) => !before.includes(row))
  set({tokens: [...before, ...added]})
})
