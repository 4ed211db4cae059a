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

// The words on chips, in what can be read on their colours.
function chipsOf({x, y}, words, {palette, low, high}, values) {
  const rows = words.map((_, row) => row).filter((row) => words[row] && row < values.length)
  const inkOn = (value) => {
    if (!Number.isFinite(value)) return about.colours.ink
    const at = Math.floor(((value - low) / (high - low)) * palette.length)
    const colour = palette[Math.min(Math.max(at, 0), palette.length - 1)]
    const [red, green, blue] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16))
    return 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? about.colours.ink : "white"
  }
  const pick = (of) => rows.map((row) => of[row])
  return {x: pick(x), y: pick(y), words: pick(words), ink: pick(values).map(inkOn)}
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
