// What both pages use: arrays, panels that draw, numbers in words, the address, keys.
// Bokeh's arrays have shapes, which parts of them would not: as plain ones they can be cut.
for (const [name, its] of Object.entries(arrays)) {
  const plain = {uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array}[its.dtype]
  arrays[name] = new plain(its.buffer, its.byteOffset, its.length)
}

const panels = []
let drawing = false

function draw() {
  if (drawing) return
  drawing = true
  try {
    for (const panel of panels) panel()
  } finally {
    drawing = false
  }
}

// A handler of a change that a person makes, not of one that drawing makes.
function whenChanged(model, property, act) {
  model.connect(model.properties[property].change, () => {
    if (!drawing) act(model[property])
  })
}

// Words of a Div. To change its model's text would lay out the whole page anew, which takes longer than all else.
function say(model, text) {
  Bokeh.index.get_one(model).markup_el.innerHTML = text
}

function whenPressed(button, act) {
  button.on_event("button_click", act)
}

// Four digits, as tables are read; a dash for what there is not.
function digits(value, places = 4) {
  if (!Number.isFinite(value)) return "–"
  return Math.abs(value) >= 10000 || Math.abs(value) < 0.001 && value !== 0
    ? value.toExponential(places - 1)
    : String(Number(value.toPrecision(places)))
}

function escaped(text) {
  return String(text).replace(/[&<>"]/g, (c) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[c])
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1), below = Math.floor(at)
  return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below])
}

// New columns of a source, unless they are those that it has: to draw them again takes longer than to compare.
function fillIn(source, columns) {
  const before = source.data
  const same = (one, other) => one.length === other.length && one.every((value, at) => Object.is(value, other[at]))
  if (!Object.keys(columns).every((name) => name in before && same(columns[name], before[name]))) source.data = columns
}

// The tokens of a map in the colours of their values: the spatial ones as one picture, the others on chips. Their own
// source is not told: what reads it, reads it when someone points at a token.
function colourTokens(suffix, {x, y, w, h, words}, [height, width], prefix, values) {
  const mapper = models[`mapper${suffix}`], tiles = models[`tiles${suffix}`]
  models[`tokens${suffix}`].data.value = values
  const Picture = tiles.data.image[0].constructor
  const image = [new Picture(values.subarray(prefix, prefix + height * width), [height, width])]
  tiles.data = {image, dw: [width], dh: [height]}
  const columns = Array.from({length: width - 1}, (_, at) => at + 0.5), rows = Array.from({length: height - 1}, (_, at) => at + 0.5)
  fillIn(models[`gaps${suffix}`], {
    x0: [...columns, ...rows.map(() => -0.5)],
    y0: [...columns.map(() => -0.5), ...rows],
    x1: [...columns, ...rows.map(() => width - 0.5)],
    y1: [...columns.map(() => height - 0.5), ...rows],
  })
  // In what can be read on their colours.
  const {palette, low, high} = mapper
  const inkOn = (value) => {
    if (!Number.isFinite(value)) return about.colours.ink
    const at = Math.floor(((value - low) / (high - low)) * palette.length)
    const colour = palette[Math.min(Math.max(at, 0), palette.length - 1)]
    const [red, green, blue] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16))
    return 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? about.colours.ink : "white"
  }
  const chips = words.map((_, row) => row).filter((row) => words[row] && row < values.length)
  const pick = (of) => chips.map((row) => of[row])
  fillIn(models[`chips${suffix}`], {
    x: pick(x), y: pick(y), w: pick(w), h: pick(h), words: pick(words), value: pick(values), ink: pick(values).map(inkOn),
  })
}

let telling = null
function toAddress(said) {
  const hash = Object.entries(said).map(([key, value]) => `${key}=${encodeURI(value)}`).join("&")
  // Once it rests: browsers take it ill to be told at every step.
  clearTimeout(telling)
  telling = setTimeout(() => history.replaceState(null, "", `#${hash}`), 100)
}

function ofAddress() {
  return new Map(
    location.hash.slice(1).split("&").filter((pair) => pair.includes("=")).map((pair) => {
      const at = pair.indexOf("=")
      return [pair.slice(0, at), decodeURI(pair.slice(at + 1))]
    }),
  )
}

// Whether keys are a widget's own: of text, of a list, of a handle.
function taken(event) {
  const at = event.composedPath()[0]
  return /^(INPUT|SELECT|TEXTAREA|BUTTON|SUMMARY)$/.test(at?.tagName ?? "") || at?.getAttribute?.("role") === "slider"
}

// The play button: a step each time, until it is pressed again.
function playWith(step) {
  let playing = null
  models.play.connect(models.play.properties.active.change, () => {
    clearInterval(playing)
    playing = models.play.active ? setInterval(step, 700) : null
    models.play.label = models.play.active ? "❚❚ Pause" : "▶ Play"
  })
}
