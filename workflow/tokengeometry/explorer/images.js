// The images that raise or lower the last chosen token's α most.
function influential(row, layer) {
  const first = layers[layer] === 0 ? prefix : 0
  if (about.images.why || row === null || row >= tokens || row < first) return null
  const each = about.images.each
  let start = 0
  for (let at = 0; at < layer; at++) start += (layers[at] === 0 ? tokens - prefix : tokens) * 2 * each
  start += (row - first) * 2 * each
  return [0, 1].map((side) =>
    Array.from(arrays.influential.subarray(start + side * each, start + (side + 1) * each)).filter((image) => image < arrays.sample.length),
  )
}

const sprite = about.sprite ? URL.createObjectURL(new Blob([arrays.sprite], {type: "image/jpeg"})) : null

function thumbnail(image) {
  const index = arrays.sample[image], place = arrays.thumbnail[image]
  if (!place || !about.sprite) return `<span class="index">${index}</span>`
  const side = about.sprite.side, columns = about.sprite.columns
  const x = ((place - 1) % columns) * side, y = Math.floor((place - 1) / columns) * side
  return `<span class="thumbnail" role="img" aria-label="image ${index}" title="image ${index}" style="background-image:url(${sprite});background-position:-${x}px -${y}px"></span>`
}

panels.push(() => {
  const row = focus(), found = influential(row, view.layer)
  let text
  if (about.images.why) text = `<p>${escaped(about.images.why)}</p>`
  else if (row === null) text = "<p>Choose a token.</p>"
  else if (found === null || !(found[0].length + found[1].length)) {
    text = `<p>No influences of images on ${escaped(tokenName(row))} at ${layerName()}.</p>`
  } else {
    text = ["raise", "lower"].map((verb, side) =>
      `<h4>Images that ${verb} its α most</h4><div class="images">${found[side].map(thumbnail).join("")}</div>`,
    ).join("")
    text += `<p class="small">Of ${about.images.of} images in folds; the strongest first. A number is an image's index in the split.</p>`
  }
  const who = row === null ? "" : `: ${escaped(tokenName(row))}, ${layerName()}`
  say(models.images, `<h3>Images${who}</h3>${text}`)
})
