# SPDX-License-Identifier: Apache-2.0
import html.parser
import re
from xml.etree import ElementTree

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.prompts import prompt_geometry
from tools.prompts import prompt_page

SVG = "{http://www.w3.org/2000/svg}"


class Balanced(html.parser.HTMLParser):
    """Fails on tags that do not close in order; collects the text."""

    VOID = ("meta",)

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes another tag")

    def handle_data(self, data):
        self.text.append(data)


def measured(name, seed=0, initial=True):
    random = np.random.default_rng(seed)
    prompt, start = random.normal(size=(2, 4, 3))
    geometry = prompt_geometry.measure(
        prompt, random.normal(size=(6, 3)), 2, start if initial else None
    )
    pieces = [[f"<p{i}>", "▁&"] for i in range(4)]
    return prompt_page.MeasuredPrompt(name, geometry, pieces)


def parse(page):
    parser = Balanced()
    parser.feed(page)
    parser.close()
    return parser


class RenderTest(parameterized.TestCase):
    def test_page_is_well_formed_and_needs_nothing_else(self):
        prompts = [measured("a<b"), measured("c", 1)]
        page = prompt_page.render(prompts, {"caption": np.eye(2)}, 1.5)
        parsed = parse(page)
        self.assertEmpty(parsed.open)
        tags = {tag for tag, _ in parsed.tags}
        self.assertEmpty(tags & {"script", "link", "img", "iframe"})
        self.assertNotRegex(page.replace('xmlns="http://www.w3.org/2000/svg"', ""), "https?://|url")
        self.assertNotIn("<p0>", page)
        text = "".join(parsed.text)
        self.assertIn("a<b", text)
        self.assertIn("<p3>", text)

    def test_every_position_has_a_row(self):
        page = prompt_page.render([measured("a")], {}, 1.5)
        self.assertLen(re.findall("<tr><td>", page), 4)
        self.assertIn("drift", page)
        self.assertNotIn("drift", prompt_page.render([measured("a", initial=False)], {}, 1.5))

    @parameterized.parameters((1, 0), (2, 1), (3, 1))
    def test_similarity_needs_two(self, count, times):
        prompts = [measured(str(seed), seed) for seed in range(count)]
        page = prompt_page.render(prompts, {"how like": np.eye(count)}, 1.5)
        self.assertEqual(page.count("how like"), times)


class ChartTest(parameterized.TestCase):
    @parameterized.parameters(
        ([1.0, 3.0, 2.0], None, [1 / 3, 1, 2 / 3]),
        ([1.0, -1.0], None, [0.5, 0.5]),
        ([1.0, 2.0], (4.0, "mark"), [0.25, 0.5]),
        ([0.0], None, [0]),
    )
    def test_bars_are_as_high_as_their_values(self, values, mark, shares):
        root = ElementTree.fromstring(prompt_page.bar_chart(np.array(values), mark))
        bars = [float(bar.get("height")) for bar in root.iter(f"{SVG}rect")]
        full = prompt_page._HEIGHT - prompt_page._TOP - prompt_page._BOTTOM
        np.testing.assert_allclose(np.array(bars) / full, shares, atol=1e-3)
        texts = [text.text for text in root.iter(f"{SVG}text")]
        self.assertEqual("mark 4" in texts, mark is not None)

    def test_heat_map_has_a_cell_with_its_number_for_each_pair(self):
        values = np.array([[1.0, -0.25], [0.5, 0.0]])
        root = ElementTree.fromstring(prompt_page.heat_map(values, ["x", "yy"]))
        cells = [cell.get("fill") for cell in root.iter(f"{SVG}rect")]
        self.assertLen(cells, 4)
        self.assertEqual(cells[0], "#3b6fb6")
        self.assertEqual(cells[3], "#ffffff")
        texts = [text.text for text in root.iter(f"{SVG}text")]
        self.assertContainsSubset(["1.00", "-0.25", "0.50", "0.00", "x", "yy"], texts)


if __name__ == "__main__":
    absltest.main()
