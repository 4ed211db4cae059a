"""What tests do with a page in a browser: find its charts, point at them, read what it says."""

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

# Whether the page's own code has run, which Bokeh begins when all is laid out: it is what says something in words.
READY = """
const words = window.Bokeh?.documents[0]?.get_model_by_name("words")
return Boolean(words && Bokeh.index.find_one(words)?.markup_el?.innerHTML)
"""
# What the address says when all that was asked for before is in it, 100 ms later, and on the screen.
RESTED = """
const [done] = arguments
setTimeout(() => requestAnimationFrame(() => setTimeout(() => done(decodeURI(location.hash)))), 100)
"""
# However slowly the mouse moves, to press and to let go is a click, and to press and to move is a drag.
PATIENT = 'Bokeh.require("core/ui_gestures").UIGestures.press_threshold = 60000'
# A place of a figure, in data, as pixels of the window.
PLACE = """
const [name, x, y] = arguments
const view = Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name(name))
view.el.scrollIntoView({block: "center"})
const canvas = view.canvas_view.el.getBoundingClientRect()
return [canvas.x + view.frame.x_scale.compute(x), canvas.y + view.frame.y_scale.compute(y)]
"""
# The colour that a figure has at a place, as its picture has it when it is saved: [red, green, blue].
COLOUR = """
const [name, x, y] = arguments
const view = Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name(name))
const picture = view.export("png")
const place = [view.frame.x_scale.compute(x), view.frame.y_scale.compute(y)]
const at = place.map((its) => Math.round(its * picture.pixel_ratio))
return Array.from(picture.ctx.getImageData(...at, 1, 1).data).slice(0, 3)
"""
SAID = """
const model = Bokeh.documents[0].get_model_by_name(arguments[0])
return Bokeh.index.get_one(model).el.shadowRoot.textContent
"""


class Page:
    """An explorer page that is open in a browser."""

    def __init__(self, browser):
        self.browser = browser
        self.wait_for(lambda: self.run(READY))
        self.run(PATIENT)
        self.state()

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def wait_for(self, holds):
        WebDriverWait(self.browser, 60, poll_frequency=0.05).until(lambda _: holds())

    def model(self, name, of):
        """A property of a model by its name, as a JavaScript expression of `it`."""
        return self.run(f"const it = Bokeh.documents[0].get_model_by_name(arguments[0]); return {of}", name)

    def title(self, name):
        return self.model(name, "it.title.text")

    def said(self, name):
        """The text of an element on the screen."""
        return self.run(SAID, name)

    def state(self):
        """What the address says, once it rests."""
        return dict(pair.split("=", 1) for pair in self.browser.execute_async_script(RESTED)[1:].split("&"))

    def at(self, name, x, y):
        return [round(value) for value in self.run(PLACE, name, float(x), float(y))]

    def colour(self, name, x, y):
        """The colour of a figure at a place, as #rrggbb."""
        return "#" + bytes(self.run(COLOUR, name, float(x), float(y))).hex()

    def drag(self, *places):
        """Press at the first place, move over the others, and let go at the last."""
        chain = ActionChains(self.browser, duration=20)
        pointer = chain.w3c_actions.pointer_action
        pointer.move_to_location(*places[0])
        pointer.pointer_down()
        for place in places[1:]:
            pointer.move_to_location(*place)
        pointer.pointer_up()
        chain.perform()

    def click(self, name, x, y):
        self.drag(self.at(name, x, y))

    def press(self, *keys, held=()):
        chain = ActionChains(self.browser)
        for key in held:
            chain.key_down(key)
        chain.send_keys(*keys)
        for key in held:
            chain.key_up(key)
        chain.perform()
