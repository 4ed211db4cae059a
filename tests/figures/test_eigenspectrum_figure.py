"""The example spectrum is drawn with its fit, or with the reason why there is none."""

import numpy as np
from drawing import draw, labels, line, spectrum
from tokengeometry.figures.eigenspectrum_fit import eigenspectrum_fit


def test_spectrum_and_fitted_line_lie_on_a_planted_power_law():
    values = spectrum(alpha=1.4, log_amplitude=0.7)
    figure = eigenspectrum_fit(values, 0.0, (11, 50), 1.4, 0.9987, 0.7, "CLS token, layer 6")
    dots, fit = line(figure, "eigenvalues"), line(figure, "fit: α = 1.400, R² = 0.9987")
    np.testing.assert_array_equal(dots.get_ydata(), values)
    assert list(fit.get_xdata()) == [11, 50]
    np.testing.assert_allclose(fit.get_ydata(), values[[10, 49]])
    assert "fit range, ranks 11–50" in labels(figure)
    (shade,) = figure.axes[0].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (11, 50)
    assert figure.axes[0].get_title(loc="left") == "CLS token, layer 6"


def test_eigenvalues_at_the_floor_or_beyond_the_samples_are_faint_and_not_under_the_line():
    values = spectrum()
    by_floor = eigenspectrum_fit(values, values[29], (11, 50), 1.4, 1.0, 0.7, "")
    by_samples = eigenspectrum_fit(values, 0.0, (11, 50), 1.4, 1.0, 0.7, "", samples=30)
    for figure in (by_floor, by_samples):
        assert line(figure, "eigenvalues").get_xdata()[-1] == 29
        assert line(figure, "not resolved").get_xdata()[0] == 30
        assert line(figure, "fit: α = 1.400, R² = 1.0000").get_xdata()[-1] == 29


def test_eigenvalues_too_small_for_the_axis_are_marked_at_its_end(tmp_path):
    values = np.concatenate([spectrum(40), [1e-20, 0.0, -1e-20]])
    figure = eigenspectrum_fit(values, 1e-12, (11, 40), 1.4, 1.0, 0.7, "")
    marks = line(figure, "not resolved, below the axis")
    assert list(marks.get_xdata()) == [41, 42, 43]
    bottom = figure.axes[0].get_ylim()[0]
    assert all(bottom < value < values[39] for value in marks.get_ydata())
    assert bottom > values[39] / 100
    draw(figure, tmp_path)


def test_without_a_fit_the_spectrum_is_drawn_and_the_reason_given(tmp_path):
    nan = float("nan")
    few = eigenspectrum_fit(spectrum(5), 0.0, (11, 50), nan, nan, nan, "", reason="too few resolved ranks")
    constant = eigenspectrum_fit(np.zeros(50), 0.0, (11, 50), nan, nan, nan, "", reason="constant")
    for figure, reason in ((few, "too few resolved ranks"), (constant, "constant")):
        assert [text.get_text() for text in figure.axes[0].texts] == [f"no fit: {reason}"]
        assert not any(label.startswith("fit: ") for label in labels(figure))
        draw(figure, tmp_path)


def test_the_floor_is_a_line_where_the_axis_reaches_it():
    values = spectrum()
    floor = values[29] * np.linspace(2, 1, len(values))
    figure = eigenspectrum_fit(values, floor, (11, 50), 1.4, 1.0, 0.7, "")
    np.testing.assert_array_equal(line(figure, "floor of noise").get_ydata(), floor)
    resolved = line(figure, "eigenvalues").get_xdata()
    np.testing.assert_array_equal(resolved, np.flatnonzero(values > floor) + 1)
    assert "floor of noise" not in labels(eigenspectrum_fit(values, 1e-30, (11, 50), 1.4, 1.0, 0.7, ""))
